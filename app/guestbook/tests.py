from django.test import TestCase
from django.urls import reverse

from guestbook.models import Entry


class GuestbookTests(TestCase):
    def test_empty_book_invites(self):
        self.assertContains(self.client.get(reverse("index")), "Be the first")

    def test_entry_is_written_and_shown(self):
        response = self.client.post(reverse("index"), {"name": "Ada", "message": "Hello <b>"}, follow=True)
        self.assertRedirects(response, reverse("index"))
        self.assertContains(response, "Hello &lt;b&gt;")
        self.assertEqual(Entry.objects.get().name, "Ada")

    def test_incomplete_entry_is_refused(self):
        response = self.client.post(reverse("index"), {"name": "", "message": "Hello"})
        self.assertContains(response, "This field is required")
        self.assertFalse(Entry.objects.exists())

    def test_form_needs_a_csrf_token(self):
        client = self.client_class(enforce_csrf_checks=True)
        self.assertEqual(client.post(reverse("index"), {"name": "Ada", "message": "Hello"}).status_code, 403)

    def test_page_says_who_served_it(self):
        response = self.client.get(reverse("index"))
        for name in ("served-by", "release", "database"):
            self.assertContains(response, f'id="{name}"')
