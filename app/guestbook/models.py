from django.db import models


class Entry(models.Model):
    """One visitor's line."""

    name = models.CharField(max_length=60)
    message = models.CharField(max_length=280)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ("-created_at", "-id")
        verbose_name_plural = "entries"

    def __str__(self):
        return f"{self.name}: {self.message}"
