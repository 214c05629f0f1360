import re

import pytest

WIDTHS = (1280, 390)


@pytest.fixture
def look(chromium, report):
    """Open the report in a fresh page and hand it over with every request and complaint it caused."""
    opened = []

    def open_page(width=1280, **options):
        page = chromium.new_page(viewport={"width": width, "height": 900}, **options)
        page.requested, page.complaints = [], []
        page.on("request", lambda request: page.requested.append(request.url))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(report.as_uri())
        opened.append(page)
        return page

    yield open_page
    for page in opened:
        page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_report_asks_for_itself_alone_and_complains_about_nothing(look, report, width):
    page = look(width)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.locator("summary").first.click()
    assert page.requested == [report.as_uri()]
    assert page.complaints == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_never_scrolls_sideways_and_shows_one_drawing_a_figure(look, width):
    page = look(width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    figures = page.locator("figure")
    assert figures.count() >= 10
    for position in range(figures.count()):
        shown = [each for each in figures.nth(position).locator("svg").all() if each.is_visible()]
        assert len(shown) == 1
        box = shown[0].bounding_box()
        assert box["width"] > 0.8 * min(width, 860) - 40
        assert box["height"] > 120


@pytest.mark.parametrize("width", WIDTHS)
def test_letters_in_figures_can_be_read(look, width):
    sizes = look(width).evaluate(
        """() => [...document.querySelectorAll('figure svg text')]
            .filter(text => text.getClientRects().length)
            .map(text => parseFloat(getComputedStyle(text).fontSize) * Math.hypot(text.getScreenCTM().a, text.getScreenCTM().b))"""
    )
    assert sizes
    assert min(sizes) >= 9.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_paper_in_both_schemes(look, scheme):
    contrasts = look(1280, color_scheme=scheme).evaluate(CONTRASTS)
    assert len(contrasts) > 20
    # 4.5 for text (WCAG 2.2, 1.4.3).
    assert min(contrasts.values()) >= 4.5, contrasts


def test_lines_of_figures_stand_out_from_the_paper_in_both_schemes(look):
    for scheme in ("light", "dark"):
        strokes = look(1280, color_scheme=scheme).evaluate(STROKES)
        # 3 for graphics (WCAG 2.2, 1.4.11).
        assert min(strokes.values()) >= 3, (scheme, strokes)


def test_a_keyboard_reaches_every_table_and_opens_it(look):
    page = look()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the figures"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#figures"
    details = page.locator("figure details").count()
    for _ in range(4 * details):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('figure details:not([open]) > summary')"):
            page.keyboard.press("Enter")
    assert page.locator("figure details[open]").count() == details > 0


def test_a_screen_reader_hears_headings_verdicts_and_tables(look):
    heard = look().locator("body").aria_snapshot()
    assert re.search(r'heading "Verdict" \[level=2\]', heard)
    assert "mac-01: mounts-first" in heard
    assert re.search(r'columnheader "mac-01', heard)
    assert heard.index("Verdict") < heard.index("Method")


def test_print_shows_the_wide_drawings_on_white_paper(look):
    page = look(390)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("figure .wide").first.is_visible()
    assert not page.locator("figure .narrow").first.is_visible()
    assert len(page.pdf()) > 20_000


_LUMINANCE = """
  const channel = c => { c /= 255; return c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4 }
  const luminance = colour => { const [r, g, b] = colour.match(/[\\d.]+/g).map(Number)
    return .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b) }
  const contrast = (one, other) => { const [a, b] = [luminance(one), luminance(other)].sort((x, y) => y - x)
    return (a + .05) / (b + .05) }
  const paperOf = element => { for (let e = element; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor
    if (colour !== 'rgba(0, 0, 0, 0)') return colour } return 'rgb(255, 255, 255)' }
"""
CONTRASTS = (
    "() => {"
    + _LUMINANCE
    + """
  const found = {}
  for (const element of document.querySelectorAll('h1,h2,h3,p,li,strong,td,th,figcaption,summary,code,a')) {
    if (element.getClientRects().length && element.textContent.trim())
      found[element.tagName + ' ' + element.textContent.trim().slice(0, 40)] =
        contrast(getComputedStyle(element).color, paperOf(element)) }
  for (const text of document.querySelectorAll('figure svg text'))
    if (text.getClientRects().length)
      found['svg ' + text.textContent] = contrast(getComputedStyle(text).fill, paperOf(text.closest('figure')))
  return found }"""
)
STROKES = (
    "() => {"
    + _LUMINANCE
    + """
  const found = {}, paper = paperOf(document.querySelector('figure'))
  for (const arm of ['arm-bare', 'arm-container', 'arm-bare-cpu', 'arm-host-engine', 'arm-remote', 'alarm', 'ink']) {
    const probe = document.createElement('i')
    probe.style.color = `var(--${arm})`
    document.body.append(probe)
    found[arm] = contrast(getComputedStyle(probe).color, paper)
    probe.remove() }
  return found }"""
)
