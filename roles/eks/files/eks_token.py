"""Credentials for kubectl, Helm and whoever else reads a kubeconfig: a token of EKS, which is a signed question to STS.

usage: eks_token.py CLUSTER REGION

What `aws eks get-token` prints, without the AWS CLI. Credentials are those that every AWS client would find (environment, profile,
role); the token tells who they belong to, and serves for a quarter of an hour.
"""

import base64
import datetime
import json
import sys

import botocore.exceptions
import botocore.session
from botocore.signers import RequestSigner

# AWS takes the question for a minute after it was signed, and EKS the token for 15 minutes.
QUESTION_SECONDS, TOKEN_MINUTES = 60, 14


def token(cluster, region):
    session = botocore.session.get_session()
    client = session.create_client("sts", region_name=region)
    credentials = session.get_credentials()
    if credentials is None:
        raise botocore.exceptions.NoCredentialsError
    signer = RequestSigner(client.meta.service_model.service_id, region, "sts", "v4", credentials, session.get_component("event_emitter"))
    question = {
        "method": "GET",
        "url": f"{client.meta.endpoint_url.rstrip('/')}/?Action=GetCallerIdentity&Version=2011-06-15",
        "body": {},
        # EKS takes no token that was made for another cluster.
        "headers": {"x-k8s-aws-id": cluster},
        "context": {},
    }
    url = signer.generate_presigned_url(question, region_name=region, expires_in=QUESTION_SECONDS, operation_name="")
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def main():
    cluster, region = sys.argv[1:]
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=TOKEN_MINUTES)
    try:
        status = {"token": token(cluster, region), "expirationTimestamp": until.strftime("%Y-%m-%dT%H:%M:%SZ")}
    except botocore.exceptions.BotoCoreError as error:
        sys.exit(f"eks_token: no token for the cluster {cluster}: {error}")
    print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}))


if __name__ == "__main__":
    main()
