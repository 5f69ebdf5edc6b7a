"""Two questions that are often confused: does this process answer, and can it reach its database?"""

from django.db import DatabaseError, connection, transaction
from django.http import HttpResponse
from django.views.decorators.http import require_safe


# A request's transaction would open the database.
@transaction.non_atomic_requests
@require_safe
def live(request):
    """200 whenever Django answers. The database is left alone: its outage is no reason to replace a machine."""
    return HttpResponse("OK\n", content_type="text/plain")


@transaction.non_atomic_requests
@require_safe
def ready(request):
    """200 when the database answers, 503 when it does not."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return HttpResponse("database unavailable\n", content_type="text/plain", status=503)
    return HttpResponse("ready\n", content_type="text/plain")
