"""What the panel says in HTML, and its style sheet. Colours come from JupyterLab's theme, light or dark; elsewhere the
fallbacks are taken. All text of the reader is escaped."""

import html

from cookbook.bases import Base
from cookbook.data.report import html_table, place
from cookbook.i18n import tr
from cookbook.panel.training_file import TrainingFile
from cookbook.params import RANGES, Hyperparameters, Plan

STYLE = """<style>
.cookbook-panel { max-width: 1000px; padding: 4px 2px; overflow: hidden; color: var(--jp-ui-font-color1, inherit); }
.cookbook-panel .widget-html, .cookbook-panel .widget-html-content { line-height: 1.4; margin: 0; height: auto; }
.cookbook-panel .widget-html { width: auto; }
.cookbook-group { border: 1px solid var(--jp-border-color2, #ccc); border-radius: 6px; padding: 4px 12px 8px; margin: 4px 0; overflow: visible; }
.cookbook-group > .widget-html b { font-size: 14px; }
.cookbook-quiet, .cookbook-limits { color: var(--jp-ui-font-color2, #777); font-size: 12px; }
.cookbook-limits { display: inline-block; max-width: 100%; }
.cookbook-row { align-items: flex-start; padding: 3px 0; }
.cookbook-label { flex: 0 0 112px; width: 112px; }
.cookbook-label code { font-size: 12px; background: none; padding: 0; color: var(--jp-ui-font-color2, #777); }
.cookbook-track { flex: 0 0 210px; width: 210px; overflow: visible; }
.cookbook-track .widget-slider, .cookbook-track .widget-inline-hbox { width: 206px; margin: 0 2px; }
.cookbook-scale { position: relative; display: flex; justify-content: space-between; width: 188px; margin: -4px 9px 0;
  font-size: 11px; color: var(--jp-ui-font-color2, #777); }
.cookbook-mark { position: absolute; transform: translateX(-6px); color: var(--jp-brand-color1, #1976d2); white-space: nowrap; }
.cookbook-mark[style*="100.0%"] { transform: translateX(-100%) translateX(6px); }
.cookbook-typed { flex: 0 0 92px; width: 92px; margin: 0 10px; }
.cookbook-typed .widget-text { width: 90px; margin: 0; }
.cookbook-typed .jupyter-button { width: 90px; margin: 3px 0 0; padding: 0 4px; height: 24px; line-height: 24px; font-size: 12px; }
.cookbook-words { flex: 1 1 0; min-width: 0; }
.cookbook-line .widget-label { flex: 0 0 112px; width: 112px; margin: 0; text-align: left; font-weight: bold; }
.cookbook-line { margin: 2px 0; }
.widget-hbox > .cookbook-line { flex: 0 1 620px; min-width: 0; }
.cookbook-upload { flex: 0 0 auto; width: auto; padding: 0 10px; }
.cookbook-note .cookbook-quiet { margin-left: 112px; }
.cookbook-price { width: 90px; }
.cookbook-price-line { align-items: center; gap: 8px; }
.cookbook-line { width: 100%; max-width: 620px; }
.cookbook-refusal { color: var(--jp-error-color1, #c62828); font-weight: 600; margin: 0 0 4px 112px; }
.cookbook-warning { color: var(--jp-warn-color0, #b35900); margin: 0 0 4px 112px; }
[data-jp-theme-light="false"] .cookbook-warning { color: var(--jp-warn-color1, #ffb74d); }
.cookbook-refused input { border: 2px solid var(--jp-error-color1, #c62828) !important; }
.cookbook-facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 6px 14px; }
.cookbook-facts big { display: block; font-size: 17px; font-weight: 600; }
.cookbook-facts small { display: block; min-height: 33px; color: var(--jp-ui-font-color2, #777); font-size: 12px; }
.cookbook-panel pre { white-space: pre-wrap; overflow-wrap: anywhere; user-select: all; margin: 0; }
.cookbook-panel .widget-toggle-buttons { display: flex; flex-flow: row wrap; align-items: center; max-width: 100%; }
.cookbook-panel .widget-toggle-buttons .jupyter-button { width: auto; padding: 0 14px; }
.cookbook-panel .jupyter-button.mod-active, .cookbook-suggest { color: #fff !important; background: var(--jp-brand-color1, #1976d2) !important; box-shadow: none !important; }
</style>"""


def heading(zh: str, en: str) -> str:
    """The title of a group, in both languages."""
    return f'<b>{zh}</b> <span class="cookbook-quiet">{en}</span>'


def refusal(*lines: str) -> str:
    """Why something cannot be used."""
    return "".join(f'<div class="cookbook-refusal">✘ {html.escape(text)}</div>' for text in lines)


def warning(*lines: str) -> str:
    """What may be used but is risky."""
    return "".join(f'<div class="cookbook-warning">⚠ {html.escape(text)}</div>' for text in lines)


def quiet(text: str) -> str:
    """A remark."""
    return f'<div class="cookbook-quiet">{html.escape(text)}</div>'


def follows(hp: Hyperparameters, plan: Plan | None, facts: Base) -> list[tuple[str, str, str]]:
    """What a choice leads to, as (what, how much, how it comes about)."""
    trained, share = facts.adapter_parameters(hp.lora_rank), facts.adapter_share(hp.lora_rank)
    weights = tr("这个模型的结构未知，训练过一次就知道", "known after a first job on this base")
    if trained:
        of = f"{amount(trained)} ÷ {amount(facts.parameters)}"
        weights = of + tr("，与秩成正比", ", in proportion to the rank")
    found = _from_rows(hp, plan, facts) if plan else []
    found += [
        (
            tr("训练的权重", "weights trained"),
            f"{share:.2%}" if share else tr("未知", "unknown"),
            weights,
        ),
        (
            tr("补丁强度", "strength"),
            f"× {hp.scaling:.3g}",
            f"alpha {hp.lora_alpha} ÷ rank {hp.lora_rank}",
        ),
    ]
    if (scale := facts.learning_rate_scale) != 1:
        why = tr(f"这个小模型的倍数是 {scale:g}", f"this base takes {scale:g} times as much")
        found.append(
            (tr("实际学习速率", "rate really used"), f"{hp.learning_rate * scale:.3g}", why)
        )
    return found


def _from_rows(hp: Hyperparameters, plan: Plan, facts: Base) -> list[tuple[str, str, str]]:
    rows, each, held = plan.train_rows, plan.steps_per_epoch, plan.validation_rows
    steps = tr(
        f"{rows} 条 ÷ {hp.batch_size} → 每轮 {each} 步 × {hp.n_epochs} 轮；验证 {held} 条",
        f"{rows} rows ÷ {hp.batch_size} → {each} an epoch × {hp.n_epochs}; {held} to validate",
    )
    longest = tr(f"最长的一条 {plan.longest_row} 个", f"the longest row has {plan.longest_row}")
    speed = tr("在本机训练过一次才知道", "known after a first job on this machine")
    if facts.tokens_per_second:
        speed = tr("上一次任务测得 {:,.0f} token/s", "the last job ran at {:,.0f} tokens/s").format(
            facts.tokens_per_second
        )
    found = [
        (tr("步数", "steps"), f"{plan.total_steps:,}", steps),
        (tr("训练读的 token", "tokens read in training"), f"{plan.tokens:,}", longest),
        (tr("预计用时", "expected time"), duration(plan.seconds), speed),
    ]
    if plan.cost is not None:
        found.append(
            (
                tr("费用", "cost"),
                f"{plan.cost:.4g}",
                tr("token × 单价 ÷ 百万", "tokens × price ÷ million"),
            )
        )
    return found


def amount(n: int) -> str:
    """A large number as it is said in the reader's language."""
    zh = f"{n / 1e8:.4g} 亿" if n >= 1e8 else f"{n / 1e4:.4g} 万"
    return tr(zh, f"{n / 1e9:.3g} B" if n >= 1e9 else f"{n / 1e6:.3g} M")


def duration(seconds: float | None) -> str:
    """In the unit that suits."""
    if seconds is None:
        return tr("未知", "unknown")
    if seconds < 60:
        return tr(f"{max(1, seconds):.0f} 秒", f"{max(1, seconds):.0f} s")
    if seconds < 5400:
        return tr(f"{seconds / 60:.1f} 分钟", f"{seconds / 60:.1f} min")
    return tr(f"{seconds / 3600:.1f} 小时", f"{seconds / 3600:.1f} h")


def cards(found: list[tuple[str, str, str]]) -> str:
    """`follows` for the panel."""
    cells = "".join(
        f"<div>{what}<big>{much}</big><small>{how}</small></div>" for what, much, how in found
    )
    return f'<div class="cookbook-facts">{cells}</div>'


def file_note(chosen: TrainingFile) -> str:
    """What the check of a training file found, in a few lines."""
    if chosen.report is None:
        return quiet(
            tr(
                "没有选文件：步数和 token 算不出来",
                "no file chosen: steps and tokens are not known",
            )
        )
    report = chosen.report
    if report.ok:
        return quiet(report.verdict)
    errors = [p for p in report.problems if p.severity == "error"][:3]
    return refusal(
        report.verdict.removeprefix("✘ "), *(f"{place(p)}: {p.message} → {p.fix}" for p in errors)
    )


def still(
    hp: Hyperparameters, found: list[tuple[str, str, str]], risks: list[tuple[str, str]]
) -> str:
    """The panel as a table without controls, for a page on which widgets do not live."""
    heads = tr("参数 名称 值 建议", "parameter label value suggested").split()
    rows = [
        (f"<code>{k}</code>", RANGES[k].label, f"{v:g}", f"{RANGES[k].suggested:g}")
        for k, v in hp.to_dict().items()
    ]
    lines = "".join(f"<li>{what}: <b>{much}</b> ({how})</li>" for what, much, how in found)
    return html_table(heads, rows) + f"<ul>{lines}</ul>" + warning(*(text for _, text in risks))


def code(text: str) -> str:
    """Text to copy; one click selects it all."""
    return f"<pre>{html.escape(text)}</pre>"
