from django.contrib import admin
from django.urls import include, path

from mysite import health

urlpatterns = [
    path("health", health.live, name="health"),
    path("ready", health.ready, name="ready"),
    path("admin/", admin.site.urls),
    path("", include("guestbook.urls")),
]
