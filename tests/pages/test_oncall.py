"""A night on call in a real browser, without JavaScript: sign in, find what failed, see why, try it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.oncall import new_token
from tests.support.product import until
from tests.support.receiver import Answer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.support.product import Product
    from tests.support.receiver import Receiver

pytestmark = [pytest.mark.pages, pytest.mark.timeout(240)]
_NARROW = {"width": 390, "height": 844}


def failed(product: Product, receiver: Receiver, count: int = 2) -> None:
    """Make dead letters about orders."""
    receiver.answer = Answer(422, {"Content-Type": "application/json"}, b'{"error": "unknown sku"}')
    product.webhook("orders-to-warehouse", f"{receiver.url}/orders")
    client = product.client()
    for number in range(count):
        event = {"type": "order.created", "subject": f"order/SO-{number}", "data": {"order_id": f"SO-{number}"}}
        assert client.post("/api/v1/events", json=event).status_code == 202
    with product.worker():
        until(lambda: product.states() == {"dead": count})
    receiver.answer = Answer(204)


def test_what_failed_is_found_understood_and_tried_again(product: Product, receiver: Receiver, signed_in: Page) -> None:
    failed(product, receiver)
    page = signed_in
    page.reload()
    expect(page.get_by_role("listitem").filter(has_text="dead letters open")).to_contain_text("2")
    page.get_by_role("link").filter(has_text="order/SO-1").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("order/SO-1")
    expect(page.locator(".tries")).to_contain_text("422")
    expect(page.locator(".tries")).to_contain_text("unknown sku")
    expect(page.get_by_label("Data of the event")).to_contain_text('"order_id": "SO-1"')
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("status")).to_contain_text("due again")
    with product.worker():
        until(lambda: product.states() == {"dead": 1, "delivered": 1})
    page.reload()
    expect(page.locator(".status")).to_contain_text("delivered")
    expect(page.locator(".tries > li")).to_have_count(2)
    page.get_by_role("link", name="Dead letters", exact=True).click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_text("Discard…").click()
    page.get_by_role("button", name="Discard it").click()
    expect(page.get_by_role("status")).to_contain_text("discarded")
    assert product.states() == {"discarded": 1, "delivered": 1}


def test_the_keyboard_is_enough(product: Product, receiver: Receiver, page: Page) -> None:
    failed(product, receiver, 1)
    page.goto("/dead-letters")
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type(new_token(product))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Dead letters")).to_be_visible()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_visible()
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.get_by_role("button", name="Retry order/SO-0").evaluate("each => each === document.activeElement"):
            break
    expect(page.get_by_role("button", name="Retry order/SO-0")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("due again")


def test_a_webhook_is_paused_and_resumed(product: Product, receiver: Receiver, signed_in: Page) -> None:
    product.webhook("orders-to-warehouse", receiver.url)
    page = signed_in
    page.get_by_role("link", name="Webhooks").click()
    page.get_by_role("button", name="Pause orders-to-warehouse").click()
    expect(page.locator("tbody .state")).to_have_text("paused")
    page.get_by_role("button", name="Resume orders-to-warehouse").click()
    expect(page.locator("tbody .state")).to_have_text("active")


def test_filters_and_pages_work(product: Product, receiver: Receiver, signed_in: Page) -> None:
    product.webhook("orders-to-warehouse", receiver.url)
    product.publish(*({"n": number} for number in range(55)))
    page = signed_in
    page.get_by_role("link", name="Deliveries").click()
    page.get_by_label("Webhook").fill("orders-to-warehouse")
    page.get_by_label("State").select_option("pending")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody tr")).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(page.locator("tbody tr")).to_have_count(5)
    expect(page.get_by_label("State")).to_have_value("pending")
    page.get_by_role("link", name="Newest").click()
    expect(page.locator("tbody tr")).to_have_count(50)


def test_signing_out_ends_it_and_going_back_shows_nothing(signed_in: Page) -> None:
    page = signed_in
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.goto("/deliveries")
    expect(page.get_by_label("Token")).to_be_visible()


def test_a_link_from_another_site_leads_to_the_page_and_a_form_from_there_to_nothing(
    product: Product, receiver: Receiver, signed_in: Page, url: str
) -> None:
    failed(product, receiver, 1)
    page = signed_in
    page.goto("/dead-letters")
    action = page.locator("form[action$='/retry']").get_attribute("action")
    body = f'<a href="{url}/deliveries?state=dead">look</a><form method="post" action="{url}{action}"><button>win</button></form>'
    page.context.route("http://chat.example/**", lambda route: route.fulfill(content_type="text/html", body=body))
    page.goto("http://chat.example/")
    page.get_by_role("link", name="look").click()
    expect(page.get_by_role("heading", name="Deliveries")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.goto("http://chat.example/")
    page.get_by_role("button", name="win").click()
    page.wait_for_url(f"{url}/**")
    assert product.states() == {"dead": 1}


def test_nothing_breaks_the_policy_or_runs(product: Product, receiver: Receiver, browser: Browser, url: str) -> None:
    hostile = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    receiver.answer = Answer(422, {"Content-Type": "text/html", "X-Odd": "<b>x</b>"}, hostile.encode())
    product.webhook("orders-to-warehouse", f"{receiver.url}/orders")
    product.client().post(
        "/api/v1/events", json={"type": "order.created", "subject": hostile, "data": {hostile: hostile}}
    )
    with product.worker():
        until(lambda: product.states() == {"dead": 1})
    context = browser.new_context(base_url=url)  # with JavaScript: it would run if it could
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto("/sign-in")
    page.get_by_label("Token").fill(new_token(product))
    page.get_by_role("button", name="Sign in").click()
    for path in ("/", "/deliveries", "/dead-letters", "/webhooks"):
        page.goto(path)
        assert "owned" not in page.title().partition(" · ")[2]
    page.goto("/deliveries")
    page.locator("tbody a").first.click()
    expect(page.get_by_label("Body of the answer to try 1")).to_have_text(hostile)
    assert page.locator("img").count() == 1, "ours"
    assert page.locator("script").count() == 0
    assert said == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_in_both_schemes(
    product: Product, receiver: Receiver, signed_in: Page, browser: Browser, url: str, scheme: str
) -> None:
    failed(product, receiver)
    long = {"type": "order.created", "subject": "order/" + "X" * 300, "data": {"long": "y" * 3000}}
    product.client().post("/api/v1/events", json=long)
    phone = browser.new_context(base_url=url, viewport=_NARROW, color_scheme=scheme, is_mobile=True, has_touch=True)
    phone.add_cookies(signed_in.context.cookies())
    page = phone.new_page()
    page.goto("/deliveries")
    paths = ["/", "/deliveries", "/dead-letters", "/webhooks", page.locator("tbody a").first.get_attribute("href")]
    for path in paths:
        page.goto(str(path))
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= _NARROW["width"], f"{path} is {width} wide"
        assert _faint(page) == []
    phone.close()


def test_every_field_button_and_picture_has_a_name(
    product: Product, receiver: Receiver, signed_in: Page, context: BrowserContext
) -> None:
    failed(product, receiver)
    page = signed_in
    page.goto("/deliveries")
    delivery = page.locator("tbody a").first.get_attribute("href")
    for path in ("/", "/deliveries", "/dead-letters?webhook=orders-to-warehouse", "/webhooks", str(delivery)):
        page.goto(path)
        assert page.evaluate(_NAMELESS) == [], path
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        expect(page.get_by_role("main")).to_have_count(1)
    assert context.pages


_NAMELESS = """() => [...document.querySelectorAll('a, button, summary, select, img, input:not([type=hidden])')].filter(each =>
  !(each.getAttribute('aria-label') || each.labels?.length || each.textContent.trim() || each.hasAttribute('alt'))
).map(each => each.outerHTML)"""


def _faint(page: Page) -> list[str]:
    """Return texts whose contrast with what is behind them is less than 4.5 (WCAG AA)."""
    found: list[str] = page.evaluate(
        """() => {
          const channel = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
          const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
          const colour = text => text.match(/[\\d.]+/g).map(Number);
          const behind = each => {
            for (let at = each; at; at = at.parentElement) {
              const [r, g, b, a = 1] = colour(getComputedStyle(at).backgroundColor);
              if (a > 0) return [r, g, b];
            }
            return [255, 255, 255];
          };
          const faint = new Set();
          const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          while (walker.nextNode()) {
            const each = walker.currentNode.parentElement;
            if (!walker.currentNode.textContent.trim() || !each.checkVisibility() || each.closest('.hidden, .skip')) continue;
            const [one, two] = [light(colour(getComputedStyle(each).color)), light(behind(each))].sort((a, b) => b - a);
            const ratio = (one + 0.05) / (two + 0.05);
            if (ratio < 4.5) faint.add(`${walker.currentNode.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
          }
          return [...faint];
        }"""
    )
    return found
