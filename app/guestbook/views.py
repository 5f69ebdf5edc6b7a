import os
import socket

from django.db import connection
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from guestbook.forms import EntryForm
from guestbook.models import Entry

SHOWN_ENTRIES = 10


@require_http_methods(["GET", "HEAD", "POST"])
def index(request):
    """The guest book: the newest entries and a form for one more. Says who served it, so that a balancer can be watched at work."""
    form = EntryForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("index")
    context = {
        "form": form,
        "entries": Entry.objects.all()[:SHOWN_ENTRIES],
        "entry_count": Entry.objects.count(),
        "served_by": socket.gethostname(),
        "release": os.environ.get("APP_RELEASE", "development"),
        "database": connection.display_name,
    }
    return render(request, "guestbook/index.html", context)
