"""The lab's Kubernetes: what EKS and ECR are records of."""
