"""The page of the room in a real browser, of a service with thirty people and jobs in every state.

Whatever a page says on the console, a violation of its policy among it, or asks of another host
fails the test.
"""

import time
from types import SimpleNamespace

import httpx
import pytest
import room_example
from playwright.sync_api import expect
from support import launch, served

from cookbook.bases import Base
from cookbook.paths import Home
from cookbook.service.app import make_app
from cookbook.service.store import Store

LEADER = "the-leaders-key"
SCREEN = {"width": 1280, "height": 800}
UPDATED = 7_000  # milliseconds until a page that asks every two seconds shows what is new
LOADING = "Failed to load resource"  # what a browser says of an answer that is an error
WAITING, FAILED = "白露", "高远"


@pytest.fixture
def room(tmp_path):
    """A service on a free port, and its store."""
    store = Store(tmp_path / "service.db")
    keys = room_example.fill(store, room_example.NAMES)
    app = make_app(
        store,
        home=Home(tmp_path),
        bases=[Base(room_example.BASE, "nowhere")],
        submit=None,
        addresses=lambda: ["http://192.0.2.1:8765", "http://10.0.0.7:8765"],
        api_key=LEADER,
    )
    with served(app) as (host, port):
        url = f"http://{host}:{port}"
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {LEADER}"}) as http:
            yield SimpleNamespace(url=url, store=store, keys=keys, app=app, http=http)


@pytest.fixture
def opened(chromium, room):
    """key -> the page of the room, opened with that key in its address."""
    contexts, said, asked = [], [], []

    def open_(key=LEADER, *, url=None, expected=(), locale="zh-CN", **options):
        context = chromium.new_context(**{"viewport": SCREEN, "locale": locale} | options)
        contexts.append(context)
        page = context.new_page()

        def note(message):
            if not any(part in message.text for part in expected):
                said.append(message.text)

        page.on("console", note)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{url or room.url}/" + (f"#key={key}" if key else ""))
        return page

    yield open_
    for context in contexts:
        context.close()
    assert said == []
    others = [one for one in asked if not one.startswith((f"{room.url}/", "http://127.", "data:"))]
    assert asked and others == []


def card(page, name):
    """Return the card of a person on the leader's page."""
    button = page.get_by_role("button", name=name, exact=True)
    return page.locator("#people > li").filter(has=button)


def own_model(room, name):
    return next(model for model in room.store.models() if model.owner == name)


def test_the_leader_sees_all_thirty_on_one_screen(opened):
    page = opened()
    expect(page.locator("#people > li")).to_have_count(30)
    bottom = page.evaluate("document.querySelector('#people').getBoundingClientRect().bottom")
    assert bottom <= SCREEN["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREEN["width"]
    # Who needs help comes first, with the sentence.
    first = page.locator("#people > li").first
    expect(first).to_contain_text("失败")
    expect(first).to_contain_text("学习速率 0.05 太大")
    waiting = card(page, WAITING)
    # The two that train are counted.
    expect(waiting).to_contain_text("第 3 位")
    expect(page.locator("#queue > li")).to_have_count(13)
    expect(page.locator("#address")).to_have_text("http://192.0.2.1:8765")
    expect(page.locator("#other-addresses")).to_have_text("http://10.0.0.7:8765")
    expect(page.locator("#machine")).to_contain_text("内存")


def test_a_curve_says_what_it_shows(opened):
    page = opened(locale="en-US")
    label = page.locator("#people svg").first.get_attribute("aria-label")
    first, last = label.removeprefix("loss ").partition(",")[0].split(" → ")
    assert float(first) > float(last) and ", step " in label and label.endswith(" of 60")


def test_cancel_asks_first_and_then_cancels(opened, room):
    page = opened()
    row = card(page, WAITING)
    row.get_by_role("button", name="取消").click()
    expect(row.get_by_role("group", name="取消这个任务？")).to_be_visible()
    row.get_by_role("button", name="不取消", exact=True).click()
    job = room.store.of(WAITING).unfinished()[0]
    assert job.status == "queued"
    row.get_by_role("button", name="取消").click()
    row.get_by_role("button", name="取消任务").click()
    expect(row.get_by_role("group")).to_have_count(0)
    expect(page.locator("#queue > li")).to_have_count(12)
    assert room.store.job(job.id).status == "cancelled"


def test_people_stay_where_they_are_while_a_question_is_open(opened, room):
    page = opened()
    names = page.locator("#people bdi:not(.notebook)")
    expect(names).to_have_count(30)
    before = names.all_inner_texts()
    card(page, WAITING).get_by_role("button", name="取消").click()
    other = room.store.of("周正").unfinished()[0]
    room.store.advance(other.id, "failed", "x", error={"code": "x", "message": "坏了"})
    expect(card(page, "周正")).to_contain_text("坏了", timeout=UPDATED)
    assert names.all_inner_texts() == before
    page.keyboard.press("Escape")
    expect(page.locator("#people > li").nth(2)).to_contain_text("周正")


def test_a_message_reaches_everybody_and_goes_again(opened, room):
    leader, person = opened(), opened(room.keys["安宁"])
    expect(person.get_by_role("heading", name="我的任务")).to_be_visible()
    leader.get_by_label("给所有人发消息").fill("十点半 <b>休息</b>")
    leader.keyboard.press("Enter")
    expect(leader.locator("#said-text")).to_have_text("十点半 <b>休息</b>")
    expect(leader.get_by_label("给所有人发消息")).to_have_value("")
    expect(person.locator("#told-text")).to_have_text("十点半 <b>休息</b>", timeout=UPDATED)
    expect(person.locator("#announce")).to_contain_text("十点半")
    leader.get_by_role("button", name="撤回").click()
    expect(leader.locator("#said")).to_be_hidden()
    expect(person.locator("#told")).to_be_hidden(timeout=UPDATED)


def test_extend_lets_the_room_close_later(opened, room):
    page = opened()
    expect(page.locator("#closes")).to_contain_text("还有")
    before, text = room.store.closes_at(), page.locator("#closes-text").inner_text()
    page.get_by_role("button", name="延长 30 分钟").click()
    expect(page.locator("#closes-text")).not_to_have_text(text)
    assert room.store.closes_at() == before + 30 * 60


def test_a_person_sees_their_own_and_what_is_shared(opened, room):
    page = opened(room.keys["李雷"])
    expect(page.locator("#own-jobs > li")).to_have_count(2)
    expect(page.locator("#own-jobs > li").first).to_contain_text("第 7 位")
    expect(page.locator("#limits")).to_contain_text("1 / 6")
    expect(page.locator("#closes")).to_contain_text("还有")
    shared = {model.owner for model in room.store.models() if model.shared}
    text = page.locator("body").inner_text()
    seen = {name for name in room_example.NAMES if name in text}
    assert seen == shared | {"李雷"}
    expect(page.locator("#leader")).to_be_hidden()
    expect(page.locator("#extend")).to_be_hidden()
    expect(page.locator("#addresses")).to_be_hidden()


def test_a_person_cancels_and_shares_what_is_theirs(opened, room):
    page = opened(room.keys["李雷"], permissions=["clipboard-read", "clipboard-write"])
    own = own_model(room, "李雷")
    row = page.locator("#own-models > li")
    row.get_by_role("button", name="分享").click()
    expect(row).to_contain_text("已分享")
    assert room.store.model(own.id).shared
    row.get_by_role("button", name="不再分享").click()
    expect(row).not_to_contain_text("已分享")
    row.get_by_role("button", name="复制").click()
    expect(row.get_by_role("button", name="已复制")).to_be_focused()
    assert page.evaluate("navigator.clipboard.readText()") == own.id
    page.locator("#own-jobs > li").first.get_by_role("button", name="取消").click()
    page.get_by_role("button", name="取消任务").click()
    expect(page.locator("#own-jobs > li").first).to_contain_text("已取消")


def test_without_a_clipboard_the_identifier_is_copied_as_well(opened, room):
    page = opened(room.keys["李雷"])
    # As on an address that is not this machine's, without TLS.
    page.evaluate("delete Navigator.prototype.clipboard")
    page.locator("#own-models > li").get_by_role("button", name="复制").click()
    page.get_by_role("button", name="换密钥").click()
    page.locator("#key").press("Control+V")
    expect(page.locator("#key")).to_have_value(own_model(room, "李雷").id)


def test_a_wrong_key_gets_a_sentence_and_the_form_again(opened, room):
    page = opened("room-aaaa-bbbb-cccc-dddd", expected=[LOADING])
    expect(page.locator("#key-wrong")).to_contain_text("密钥不对")
    expect(page.locator("#key")).to_be_focused()
    # As from paper, on a Chinese keyboard: a capital, wide signs, a space.
    typed = room.keys["安宁"].replace("room-", "Room－") + " "
    page.locator("#key").fill(typed)
    page.keyboard.press("Enter")
    expect(page.locator("#who")).to_have_text("安宁")
    page.get_by_role("button", name="换密钥").click()
    page.locator("#key").fill("密钥")
    page.keyboard.press("Enter")
    expect(page.locator("#key-wrong")).to_contain_text("密钥不对")


def test_the_key_leaves_the_address_and_stays_in_the_tab(opened, room):
    page = opened(room.keys["安宁"])
    expect(page.locator("#who")).to_have_text("安宁")
    assert page.url == f"{room.url}/"
    assert page.evaluate("Object.keys(localStorage)") == []
    page.reload()
    expect(page.locator("#who")).to_have_text("安宁")
    other = page.context.new_page()
    other.goto(f"{room.url}/")
    expect(other.locator("#key")).to_be_visible()
    page.get_by_role("button", name="换密钥").click()
    assert page.evaluate("sessionStorage.length") == 0


def test_markup_in_names_and_errors_stays_text(opened, room):
    name, task = "<img src=x onerror=alert(1)>", "\u202eevil</script><script>alert(2)</script>"
    job = room_example.add_failed(room.store, name, task, error='<b onclick="x">坏\u202e</b>')
    page = opened()
    row = page.locator("#people > li").filter(has_text="<img")
    expect(row).to_contain_text('<b onclick="x">坏')
    assert page.locator("#people img, #people b, #ended script").count() == 0
    # What follows is not turned around: each text from outside is a piece of its own.
    expect(page.locator("#ended bdi.task").filter(has_text="evil")).to_have_count(1)
    row.get_by_role("button", name="<img").click()
    expect(page.locator("#dialog-title")).to_have_text(name)
    assert room.store.job(job).status == "failed"


def test_updates_keep_focus_text_scroll_and_rows(opened, room):
    page = opened(viewport={"width": 1280, "height": 500})
    row = card(page, WAITING)
    expect(row).to_be_visible()
    row.evaluate("row => { row.mark = 'the same' }")
    page.locator("#message").fill("还没写完")
    page.locator("#message").evaluate("field => field.setSelectionRange(1, 3)")
    page.evaluate("scrollTo(0, 120)")
    # The first of the queue begins, so that it moves to another place.
    job = room.store.of(WAITING).unfinished()[0]
    room.store.advance(job.id, "running", "x")
    expect(row).to_contain_text("训练中", timeout=UPDATED)
    assert row.evaluate("row => row.mark") == "the same"
    expect(page.locator("#message")).to_be_focused()
    expect(page.locator("#message")).to_have_value("还没写完")
    assert page.evaluate("[message.selectionStart, message.selectionEnd, scrollY]") == [1, 3, 120]


def test_a_row_with_the_focus_moves_and_keeps_it(opened, room):
    page = opened()
    name = page.get_by_role("button", name="周正", exact=True)
    name.focus()
    job = room.store.of("周正").unfinished()[0]
    room.store.advance(job.id, "failed", "x", error={"code": "x", "message": "坏了"})
    # The newest failure comes after the two that wait for help already.
    expect(page.locator("#people > li").nth(2)).to_contain_text("坏了", timeout=UPDATED)
    expect(name).to_be_focused()
    expect(page.locator("#announce")).to_contain_text("周正 的任务失败：坏了")


def test_the_keyboard_alone_is_enough(opened, room):
    page = opened("")
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type(LEADER)
    page.keyboard.press("Enter")
    expect(page.locator("#people > li")).to_have_count(30)
    page.locator("#add").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name=FAILED, exact=True)).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name=FAILED)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name=FAILED, exact=True)).to_be_focused()
    # Past the other failure, to the first that waits, and to its cancel.
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="不取消", exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#queue > li")).to_have_count(12)
    assert room.store.of(WAITING).unfinished() == []
    expect(page.get_by_role("button", name=WAITING, exact=True)).to_be_focused()


def test_a_new_person_gets_a_key_that_is_shown_once(opened, room):
    page = opened()
    page.get_by_role("button", name="添加学员").click()
    page.get_by_label("名字").fill("新同学")
    page.keyboard.press("Enter")
    lines = page.locator("#slip-text")
    expect(lines).to_contain_text("COOKBOOK_SERVICE=http://192.0.2.1:8765")
    key = lines.inner_text().partition("#key=")[2].strip()
    answer = httpx.get(f"{room.url}/v1/room", headers={"authorization": f"Bearer {key}"})
    assert answer.json()["name"] == "新同学"
    page.keyboard.press("Escape")
    assert key not in page.content()
    expect(page.locator("#people > li")).to_have_count(31)


def test_a_name_that_is_taken_is_refused_in_the_dialog(opened):
    page = opened(expected=[LOADING])
    page.get_by_role("button", name="添加学员").click()
    page.get_by_label("名字").fill(WAITING)
    page.keyboard.press("Enter")
    expect(page.locator("#dialog-wrong")).to_contain_text(f"已经有 {WAITING} 了")


def test_a_key_is_renewed_and_somebody_removed(opened, room):
    page = opened()
    page.get_by_role("button", name=WAITING, exact=True).click()
    page.get_by_role("button", name="换一把密钥").click()
    page.get_by_role("button", name="换一把", exact=True).last.click()
    expect(page.locator("#slip-text")).to_contain_text("COOKBOOK_KEY=room-")
    assert room.store.person(room.keys[WAITING]) is None
    page.keyboard.press("Escape")
    page.get_by_role("button", name=FAILED, exact=True).click()
    page.get_by_role("button", name="移出课堂").click()
    page.get_by_role("button", name="移出", exact=True).click()
    expect(page.locator("#people > li")).to_have_count(29)
    assert room.store.person(room.keys[FAILED]) is None


def test_people_are_found_and_sorted_by_name(opened):
    page = opened()
    page.get_by_label("筛选").fill("李")
    expect(page.locator("#people > li")).to_have_count(1)
    expect(page.locator("#counts")).to_contain_text("显示 1 人")
    page.get_by_label("筛选").fill("没有这样的人")
    expect(page.locator("#nobody")).to_have_text("没有符合筛选的学员。")
    page.get_by_label("筛选").fill("")
    page.get_by_label("排序").select_option("name")
    expect(page.locator("#people > li").first).to_contain_text("安宁")


def test_a_service_that_does_not_answer_is_said_and_comes_back(opened):
    page = opened(expected=[LOADING])
    expect(page.locator("#people > li")).to_have_count(30)
    page.context.set_offline(True)
    expect(page.locator("#stale")).to_contain_text("没有应答", timeout=15_000)
    assert "上次更新在" in page.locator("#stale").inner_text()
    # What was there can still be read, and a button says what is the matter.
    expect(page.locator("#people > li")).to_have_count(30)
    page.get_by_role("button", name="延长 30 分钟").click()
    expect(page.get_by_role("alert").filter(has_text="操作没有完成")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator("#stale")).to_be_hidden(timeout=UPDATED)
    expect(page.locator("#announce")).to_contain_text("服务恢复了")


def test_a_closed_room_says_so_and_opens_again(opened, room):
    page = opened(room.keys["安宁"], expected=[LOADING])
    expect(page.locator("#own")).to_be_visible()
    room.store.set_room_value("closes_at", str(int(time.time()) - 60))
    expect(page.locator("#shut-text")).to_contain_text("请组织者延长", timeout=UPDATED)
    leader = opened()
    expect(leader.locator("#closes")).to_contain_text("已于")
    leader.get_by_role("button", name="延长 30 分钟").click()
    expect(page.locator("#own-jobs > li").first).to_be_visible(timeout=UPDATED)


def test_the_language_is_the_browsers_and_can_be_changed(opened):
    page = opened(locale="en-US")
    expect(page.get_by_role("heading", name="People")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "en"
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", name="学员", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    expect(page.locator("#people > li")).to_have_count(30)
    page.reload()
    expect(page.get_by_role("heading", name="队列")).to_be_visible()


def test_it_works_below_a_path_of_a_proxy(opened, room):
    prefix = "/services/room"

    async def proxied(scope, receive, send):
        if scope["type"] == "http":
            assert scope["path"].startswith(prefix)
            scope = {**scope, "path": scope["path"].removeprefix(prefix) or "/"}
        await room.app(scope, receive, send)

    with served(proxied) as (host, port):
        page = opened(url=f"http://{host}:{port}{prefix}")
        expect(page.locator("#people > li")).to_have_count(30)
        page.get_by_role("button", name="延长 30 分钟").click()
        expect(page.locator("#notice")).to_be_hidden()
        page.goto("about:blank")


@pytest.mark.parametrize("who", [LEADER, "安宁"])
@pytest.mark.parametrize("width", [320, 640])
def test_a_narrow_screen_or_a_zoom_of_two_needs_no_scrolling_aside(opened, room, who, width):
    page = opened(room.keys.get(who, who), viewport={"width": width, "height": 700})
    expect(page.locator("#leader, #own").locator("visible=true").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


# Colours blend over whatever is behind; of those there are only whole ones here.
CONTRASTS = """() => {
  const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = (rgb) => {
    const [r, g, b] = rgb.match(/[0-9.]+/g).map(Number).map(channel);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const low = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const parent = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !parent.checkVisibility()) continue;
    const [one, two] = [light(getComputedStyle(parent).color), light(behind(parent))];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) low.push([walk.currentNode.data, ratio]);
  }
  return low;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("who", [LEADER, "李雷", ""])
def test_every_text_has_contrast(opened, room, who, scheme):
    page = opened(room.keys.get(who, who), color_scheme=scheme, reduced_motion="reduce")
    expect(page.locator("#leader, #own, #enter").locator("visible=true")).to_have_count(1)
    assert page.evaluate(CONTRASTS) == []


NAMELESS = """() => {
  const nameless = [];
  for (const one of document.querySelectorAll("button, input, select, svg, table, dialog")) {
    const label = one.getAttribute("aria-label") || one.textContent.trim() ||
      (one.labels && [...one.labels].map((l) => l.textContent).join("")) ||
      document.getElementById(one.getAttribute("aria-labelledby"))?.textContent;
    if (!label && one.checkVisibility()) nameless.push(one.outerHTML);
  }
  return nameless;
}"""


@pytest.mark.parametrize("who", [LEADER, "李雷", ""])
def test_a_screen_reader_finds_names_headings_and_parts(opened, room, who):
    page = opened(room.keys.get(who, who))
    expect(page.locator("#leader, #own, #enter").locator("visible=true")).to_have_count(1)
    assert page.evaluate(NAMELESS) == []
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3')].filter((h) => h.checkVisibility())"
        ".map((h) => Number(h.tagName[1]))"
    )
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))
    assert page.locator("main, header").count() == 2
    assert page.locator("#announce").get_attribute("aria-live") == "polite"


def test_a_real_training_is_followed_to_its_end(chromium, service, client):
    context = chromium.new_context(locale="en-US")
    page = context.new_page()
    page.goto(f"{service.base_url.removesuffix('v1')}#key={service.api_key}")
    expect(page.get_by_role("heading", name="Queue")).to_be_visible()
    job = launch(client, service.base_model)
    expect(page.locator("#queue > li")).to_have_count(1, timeout=60_000)
    expect(page.locator("#ended-rows > tr").first).to_contain_text("finished", timeout=180_000)
    label = page.locator("#ended-rows svg").first.get_attribute("aria-label")
    assert label.startswith("loss ")
    model = client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model
    expect(page.locator("#all-models code").filter(has_text=model).first).to_be_visible()
    context.close()
