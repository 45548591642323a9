"""Guides of other utilities become drafts: every format, every way to number, nothing lost."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from docx import Document as Word
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from hypothesis import given, settings
from hypothesis import strategies as st
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from knowledge.documents import LARGEST, Block
from knowledge.importer import Document, Drafted, ImportProblem, read, split
from knowledge.numbering import value
from knowledge.word import drawn

GUIDES = Path(__file__).parents[1] / "data" / "guides"

RULES = """\
溪口镇供水服务指南
第一章 总则
第一条 为规范供水服务行为,维护客户权益,制定本指南。
第二条 本指南适用于溪口镇全部居民客户和单位客户。
第二章 报装
第三条 客户申请用水,应当提交身份证和房屋权属证明,供水站五个工作日内答复。
第四条 客户应当按照第三条的规定补正资料。第三条所列资料不齐的,一次告知。
"""


def imported(folder: Path, text: str, name: str = "guide.txt", encoding: str = "utf-8") -> list[Drafted]:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return split(read(path))


def articles(drafted: list[Drafted]) -> list[str]:
    return [each.draft.article for each in drafted]


def problem(path: Path) -> ImportProblem:
    with pytest.raises(ImportProblem) as caught:
        split(read(path))
    return caught.value


def han(text: str) -> str:
    return "".join(re.findall("[\u3400-\u9fff]", text))


# numbering


def test_chapters_and_articles_become_drafts(tmp_path: Path) -> None:
    drafted = imported(tmp_path, RULES)
    assert articles(drafted) == ["第一条", "第二条", "第三条", "第四条"]
    third = drafted[2]
    assert third.draft.document == "溪口镇供水服务指南"
    assert third.chapter == "第二章 报装"
    assert third.draft.tags == ["报装"]
    assert third.draft.title == "客户申请用水"
    assert third.draft.answer.startswith("客户申请用水,应当提交身份证")
    assert (third.draft.question, third.draft.aliases, third.warnings) == ("", [], [])


def test_articles_glued_on_one_line_are_split_and_mentions_are_not(tmp_path: Path) -> None:
    glued = "溪口镇供水服务指南\n\n" * 2 + "".join(RULES.split())
    drafted = imported(tmp_path, glued)
    assert articles(drafted) == ["第一条", "第二条", "第三条", "第四条"]
    assert "第三条的规定" in drafted[3].draft.answer
    assert drafted[3].draft.answer.endswith("第三条所列资料不齐的,一次告知。")
    assert {each.draft.document for each in drafted} == {"溪口镇供水服务指南"}


def test_a_sentence_that_begins_with_a_later_article_is_no_article(tmp_path: Path) -> None:
    text = (
        RULES + "第五条 费用另行公布。第九十条涉及的费用除外。第六条情形由供水站说明。\n第六条 本指南由供水站解释。\n"
    )
    drafted = imported(tmp_path, text)
    assert articles(drafted)[4:] == ["第五条", "第六条"]
    assert "第六条情形" in drafted[4].draft.answer


def test_a_chapter_and_an_article_on_the_line_of_the_title_are_split(tmp_path: Path) -> None:
    text = (
        "城北供电所客户管理办法第一章总则第一条为加强管理,制定本办法。\n\n第二条分类客户分为一般客户、重要客户。\n\n"
        "第二章职责第三条营业厅应在每年一月完成统计。\n\n第四条计划停电(一)提前告知客户。\n\n(二)完成后回访。\n\n"
        "相关文档\n最新文档\n"
    )
    drafted = imported(tmp_path, text)
    assert articles(drafted) == ["第一条", "第二条", "第三条", "第四条"]
    assert [each.chapter for each in drafted] == ["第一章 总则"] * 2 + ["第二章 职责"] * 2
    assert drafted[3].draft.title == "计划停电"
    assert drafted[3].draft.answer == "(一)提前告知客户。\n(二)完成后回访。"


def test_several_documents_in_one_file_keep_their_own_names(tmp_path: Path) -> None:
    text = (
        RULES + "抄表工作细则\n\n抄表工作细则\n\n抄表工作细则第一条抄表员每月上旬抄表。\n第二条抄表员不得估抄漏抄。\n"
        "申请须知\n申请须知\n申请须知一、新装的客户先到营业厅递交书面申请。\n二、客户提供用电地址、设备清单和负荷说明。(见附页)"
        "三、供水站在一个月内答复客户申请并说明理由。\n"
    )
    drafted = imported(tmp_path, text)
    assert [(each.draft.document, each.draft.article) for each in drafted[4:]] == [
        ("抄表工作细则", "第一条"),
        ("抄表工作细则", "第二条"),
        ("申请须知", "一"),
        ("申请须知", "二"),
        ("申请须知", "三"),
    ]
    assert len({each.key for each in drafted}) == len(drafted)


def test_a_new_document_begins_at_the_first_article_after_a_title(tmp_path: Path) -> None:
    drafted = imported(
        tmp_path, RULES + "水表管理规定\n(2025年修订)\n第一条 水表由供水站安装。\n第二条 水表由供水站维护。\n"
    )
    assert [each.draft.document for each in drafted[4:]] == ["水表管理规定"] * 2


def test_articles_that_start_again_in_each_chapter_name_the_chapter(tmp_path: Path) -> None:
    drafted = imported(
        tmp_path,
        "供暖细则\n第一章 开通\n第一条 开通须提交申请表。\n第二条 三日内答复。\n第二章 停热\n第一条 停热须提前申请。\n",
    )
    assert articles(drafted) == ["第一章第一条", "第一章第二条", "第二章第一条"]


def test_arabic_numerals_and_inserted_articles_are_understood(tmp_path: Path) -> None:
    drafted = imported(
        tmp_path,
        "燃气细则\n第1条 客户应当每年接受一次安检。\n第2条 客户不得私改管道。\n第２条之一 私改的停气整改。\n第3条 整改后复气。\n",
    )
    assert articles(drafted) == ["第1条", "第2条", "第２条之一", "第3条"]
    assert all(not each.warnings or each.warnings == ["very_short"] for each in drafted)


def test_han_numbers_hold_their_sub_items(tmp_path: Path) -> None:
    drafted = imported(
        tmp_path,
        "物业服务手册\n一、报修\n业主拨打前台电话报修,三十分钟内上门并由业主签字。\n（一）水电全天受理。\n（二）土建工作日受理。\n"
        "二、停车\n业主凭行驶证办理月卡,每户限两张,访客前两小时免费。\n三、装修\n装修前提交申请表和图纸,缴纳押金,验收后七日退还。\n",
    )
    assert articles(drafted) == ["一", "二", "三"]
    assert drafted[0].draft.title == "报修"
    assert drafted[0].draft.answer.split("\n")[1:] == ["（一）水电全天受理。", "（二）土建工作日受理。"]


def test_numbers_under_bare_headings_are_the_articles(tmp_path: Path) -> None:
    one = "居民凭身份证和不动产权证书到营业厅办理开户,受理后三个工作日内上门通气点火,不另收费,节假日顺延。"
    two = "商户凭营业执照和消防验收凭证办理开户,十个工作日内现场勘察并答复用气方案,费用另行约定,可以分期。"
    drafted = imported(tmp_path, f"燃气须知\n一、开户\n1. {one}\n2. {two}\n二、缴费\n1. {one}\n2. {two}\n")
    assert articles(drafted) == ["一、1", "一、2", "二、1", "二、2"]
    assert len({each.key for each in drafted}) == 4
    assert all(each.warnings == [] for each in drafted)


def test_decimal_sections_in_the_text_and_on_headings_belong_together(tmp_path: Path) -> None:
    text = (
        "# 燃气客户指南\n\n- [1 开户](#1)\n- [2 维修](#2)\n\n## 1 开户\n\n### 1.1 资料\n\n居民开户携带身份证、不动产权证书原件办理。\n\n"
        "1. 户主本人到场；\n2. 代办须有委托书。\n\n### 1.2 时限\n\n居民开户当日受理,三个工作日内上门通气点火。\n\n"
        "### 1.3 费用\n\n| 项目 | 费用 |\n| --- | --- |\n| 移表 | 260 元 |\n| 补卡 | 15 元 |\n\n"
        "## 2 维修\n\n2.1 责任划分。表前设施由公司维护,表后由客户维护。\n\n2.2 计划停气。公司提前 48 小时公告停气安排。\n"
    )
    drafted = imported(tmp_path, text, "guide.md")
    assert articles(drafted) == ["1.1", "1.2", "1.3", "2.1", "2.2"]
    assert drafted[0].draft.answer.split("\n")[1:] == ["1. 户主本人到场；", "2. 代办须有委托书。"]
    assert drafted[2].draft.answer == "项目：移表；费用：260 元\n项目：补卡；费用：15 元"
    assert (drafted[3].chapter, drafted[3].draft.title) == ("2 维修", "责任划分")
    assert all(each.draft.document == "燃气客户指南" for each in drafted)


def test_headings_without_numbers_are_articles(tmp_path: Path) -> None:
    text = (
        "---\ntitle: 宽带说明\n---\n\n## 安装\n\n预约后四十八小时内上门安装,请确保家中\n有人并清理弱电箱周边杂物。\n\n"
        "## 故障怎么报修？\n\n请拨打**热线**或者在[公众号](https://example.org)报修,城区十二小时内修复。\n"
    )
    drafted = imported(tmp_path, text, "guide.md")
    assert [(each.draft.title, each.draft.article) for each in drafted] == [("安装", ""), ("故障怎么报修", "")]
    assert drafted[1].draft.question == "故障怎么报修？"
    assert drafted[0].draft.answer == "预约后四十八小时内上门安装,请确保家中有人并清理弱电箱周边杂物。"
    assert drafted[1].draft.answer == "请拨打热线或者在公众号报修,城区十二小时内修复。"
    assert drafted[0].draft.document == "宽带说明"


def test_questions_and_answers_become_drafts_with_questions(tmp_path: Path) -> None:
    drafted = imported(
        tmp_path,
        "常见问题\n问：如何查询水费？\n答：关注公众号后查询。\n也可以拨打热线。\n问2：水表不走怎么办？答：请报修，不收费。\n",
    )
    assert [each.draft.question for each in drafted] == ["如何查询水费？", "水表不走怎么办？"]
    assert [each.draft.answer for each in drafted] == ["关注公众号后查询。\n也可以拨打热线。", "请报修，不收费。"]
    assert articles(drafted) == ["", "问2"]


@pytest.mark.parametrize(
    ("word", "labels"),
    [("Section", ["Section 1", "Section 2", "Section 4"]), ("Article", ["Article 1", "Article 2", "Article 4"])],
)
def test_english_guides_fill_both_languages(tmp_path: Path, word: str, labels: list[str]) -> None:
    text = (
        f"Millbrook Water\nCustomer Guide\n\nChapter 1 Supply\n{word} 1. Meter reading\nMeters are read every two months. "
        f"{word} 2 applies to disputed readings.\n{word} 2. Disputes\nA disputed reading is checked within ten working days.\n"
        f"Chapter 2 Payment\n{word} 4. Late payment\nA late charge of five percent is added once to each unpaid bill.\n"
    )
    drafted = imported(tmp_path, text)
    assert articles(drafted) == labels
    first = drafted[0].draft
    assert (first.title, first.document, first.tags) == ("Meter reading", "Customer Guide", ["Supply"])
    assert first.en.model_dump() == {name: getattr(first, name) for name in first.en.model_dump()}
    assert [each.warnings for each in drafted] == [[], [], ["number_gap"]]


def test_chapters_without_articles_and_annexes_are_not_lost(tmp_path: Path) -> None:
    text = RULES + "附件1：收费标准\n上门费每次三十元，移表每次二百六十元，补卡十五元。\n"
    assert [each.draft.title for each in imported(tmp_path, text)][-1] == "收费标准"
    chapters = "安全手册\n第1章 日常使用\n使用燃气时保持通风，人离开前关闭阀门。\n第2章 泄漏\n闻到臭味立即关阀开窗，到室外拨打抢险电话。\n"
    assert articles(imported(tmp_path, chapters)) == ["第1章", "第2章"]


def test_headings_in_brackets_and_before_a_space_become_titles(tmp_path: Path) -> None:
    drafted = imported(
        tmp_path,
        "服务规范\n第一条【适用范围】本规范适用于全部客户。\n第二条 抄表周期 居民客户每两个月抄表一次,逢单月抄表。\n第三条 营业时间\n每日九点至十七点。\n",
    )
    assert [each.draft.title for each in drafted] == ["适用范围", "抄表周期", "营业时间"]
    assert [each.draft.answer[:4] for each in drafted] == ["本规范适", "居民客户", "每日九点"]


def test_titles_are_cut_from_the_article_and_short(tmp_path: Path) -> None:
    for each in imported(tmp_path, (GUIDES / "water.txt").read_text(encoding="utf-8")):
        assert 2 <= len(each.draft.title) <= 30
        assert each.draft.title in each.draft.answer or each.draft.title not in each.draft.document


def test_long_articles_are_cut_at_their_sub_items(tmp_path: Path) -> None:
    items = "".join(f"（{n}）" + f"客户履行义务{n}，" * 30 + "并承担责任；\n" for n in "一二三四五六")
    drafted = imported(
        tmp_path,
        f"供电指南\n第一条 本指南适用于全部客户。\n第二条 客户有下列义务：\n{items}第三条 本指南自发布之日起施行。\n",
    )
    assert articles(drafted) == ["第一条", *(f"第二条（{n}）" for n in "一二三四五六"), "第三条"]
    assert drafted[1].draft.answer.startswith("客户有下列义务：\n（一）")
    assert [each.key.split("-", 1)[1] for each in drafted[:3]] == ["1", "2-1", "2-2"]


def test_warnings_name_gaps_duplicates_and_lengths(tmp_path: Path) -> None:
    text = (
        f"办法\n第一条 适用于全部客户和用户。\n第三条 略。\n第三条 客户应当按时缴纳费用。\n第四条 {'客户须知' * 400}\n"
    )
    drafted = imported(tmp_path, text)
    assert [each.warnings for each in drafted] == [
        [],
        ["number_gap", "very_short"],
        ["duplicate_number"],
        ["very_long"],
    ]


def test_keys_are_short_ascii_unique_and_stable(tmp_path: Path) -> None:
    first = imported(tmp_path, RULES)
    changed = imported(tmp_path, RULES.replace("五个工作日", "七个工作日") + "第五条 附加的规定。\n", "other.txt")
    assert [each.key for each in first] == [each.key for each in changed][:4]
    assert first[2].key.startswith("xkzg") and first[2].key.endswith("-3")
    for name in ("water.txt", "gas.md", "heating.docx", "metro.html", "english.md"):
        keys = [each.key for each in split(read(GUIDES / name))]
        assert len(set(keys)) == len(keys)
        assert all(key.isascii() and len(key) <= 24 for key in keys)


# formats


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["guide.txt", "guide.md"])
def test_text_is_read_in_every_usual_encoding(tmp_path: Path, encoding: str, name: str) -> None:
    assert articles(imported(tmp_path, RULES, name, encoding)) == ["第一条", "第二条", "第三条", "第四条"]


def test_debris_of_pages_disappears_and_broken_lines_are_joined(tmp_path: Path) -> None:
    text = (
        "用气服务指南\n\n目  录\n第一章 总则………1\n第二章 安检………2\n\n第一章 总则\n"
        "第一条　为规范供气服务行为，维护供用气双方的合法权益，根据有关法律法规的规\n定，结合本镇\u00ad实际，制定本指南\u200b，由供气站负责实施和解释，并接受客户\n\n— 1 —\n\n"
        "第 2 页 共 3 页\n监督。\n第二条　用户申请用气应当提交身份证明，供气站在五个工作日内完成现场勘察，按照\n第一条的规定确定方案；逾期没有答复的，视为同意。\n"
        "第二章 安检\n第三条　供气站每年免费入户安检一次，用户应当配合，不得拒绝、阻挠，安检人员应\n当出示工牌。\n"
    )
    drafted = imported(tmp_path, text)
    assert articles(drafted) == ["第一条", "第二条", "第三条"]
    assert "接受客户监督。" in drafted[0].draft.answer
    assert "本镇实际，制定本指南，由" in drafted[0].draft.answer
    assert "按照第一条的规定确定方案" in drafted[1].draft.answer
    assert all("\n" not in each.draft.answer for each in drafted)


def test_a_contents_list_without_page_numbers_disappears(tmp_path: Path) -> None:
    text = RULES.replace("第一章 总则\n", "目录\n第一章 总则\n第二章 报装\n第一章 总则\n", 1)
    assert articles(imported(tmp_path, text)) == ["第一条", "第二条", "第三条", "第四条"]


def test_word_headings_lists_tables_and_drawn_numbers_are_read(tmp_path: Path) -> None:
    word = Word()
    word.add_paragraph("供热服务指南", style="Title")
    word.add_paragraph("第一章 总则", style="TOC Heading")
    word.add_paragraph("第一章 总则", style="Heading 1")
    word.add_paragraph("第一条　用户应当按时缴费。")
    word.add_paragraph("第二条　缴费方式：")
    word.add_paragraph("公众号", style="List Bullet")
    word.add_paragraph("营业厅", style="List Bullet")
    word.add_paragraph("第三条　热费标准：")
    table = word.add_table(rows=3, cols=2)
    for row, cells in zip(table.rows, [("类别", "单价"), ("居民", "24.5"), ("商业", "35")], strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    word.save(str(tmp_path / "guide.docx"))
    drafted = split(read(tmp_path / "guide.docx"))
    assert articles(drafted) == ["第一条", "第二条", "第三条"]
    assert drafted[0].chapter == "第一章 总则"
    assert (drafted[1].draft.title, drafted[1].draft.answer) == ("缴费方式", "缴费方式：\n- 公众号\n- 营业厅")
    assert drafted[2].draft.answer == "热费标准：\n类别：居民；单价：24.5\n类别：商业；单价：35"


def test_numbers_that_word_only_draws_are_written_out(tmp_path: Path) -> None:
    word = Word()
    levels = "".join(
        f'<w:lvl w:ilvl="{i}"><w:start w:val="1"/><w:numFmt w:val="chineseCounting"/><w:lvlText w:val="{text}"/></w:lvl>'
        for i, text in enumerate(["第%1章", "第%2条"])
    )
    numbering = word.part.numbering_part.element
    numbering.insert(0, parse_xml(f'<w:abstractNum {nsdecls("w")} w:abstractNumId="77">{levels}</w:abstractNum>'))
    override = '<w:lvlOverride w:ilvl="1"><w:startOverride w:val="1"/></w:lvlOverride>'
    numbering.append(parse_xml(f'<w:num {nsdecls("w")} w:numId="77"><w:abstractNumId w:val="77"/>{override}</w:num>'))
    word.add_paragraph("供热服务指南", style="Title")
    for depth, text in [
        (0, "总则"),
        (1, "本指南适用于全部用户。"),
        (1, "公司设两个营业厅。"),
        (0, "缴费"),
        (1, "热费每年缴清。"),
    ]:
        paragraph = word.add_paragraph(text)
        paragraph._p.get_or_add_pPr().append(
            parse_xml(f'<w:numPr {nsdecls("w")}><w:ilvl w:val="{depth}"/><w:numId w:val="77"/></w:numPr>')
        )
    word.save(str(tmp_path / "guide.docx"))
    drafted = split(read(tmp_path / "guide.docx"))
    assert articles(drafted) == ["第一章第一条", "第一章第二条", "第二章第一条"]
    assert [each.draft.answer for each in drafted] == ["本指南适用于全部用户。", "公司设两个营业厅。", "热费每年缴清。"]


def pdf(path: Path, pages: list[list[str]]) -> Path:
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    canvas = Canvas(str(path))
    for number, lines in enumerate(pages, 1):
        canvas.setFont("STSong-Light", 11)
        for row, line in enumerate(["溪口供水 服务指南", *lines, f"第 {number} 页 共 {len(pages)} 页 热线 966218"]):
            canvas.drawString(60, 790 - 20 * row, line)
        canvas.showPage()
    canvas.save()
    return path


def test_pdf_loses_page_heads_and_joins_broken_sentences(tmp_path: Path) -> None:
    pages = [
        [
            "供水服务指南",
            "第一章 总则",
            "第一条 为规范供水服务行为，维护供用水双方的合法权益，根",
            "据有关规定制定本指南，由供水站负责解释，并且接受广大客",
        ],
        ["户监督。", "第二条 客户申请用水应当提交身份证明，供水站在五个工作日", "内完成勘察。"],
        ["第三条 水费每两个月收取一次，逾期不缴纳的，按日加收违约", "金，直到缴清。"],
    ]
    drafted = split(read(pdf(tmp_path / "guide.pdf", pages)))
    assert articles(drafted) == ["第一条", "第二条", "第三条"]
    assert drafted[0].draft.answer.endswith("根据有关规定制定本指南，由供水站负责解释，并且接受广大客户监督。")
    assert not any("热线" in each.draft.answer or "服务指南" in each.draft.title for each in drafted)
    assert {each.draft.document for each in drafted} == {"供水服务指南"}


def test_html_loses_navigation_and_keeps_lists_and_tables(tmp_path: Path) -> None:
    text = """<!doctype html><html><head><title>乘车卡指南 - 某公司</title><script>var x = "第一条 优惠";</script></head><body>
    <nav><ul><li>首页</li></ul></nav><div class="breadcrumb">当前位置</div><h1>乘车卡指南</h1><h2>第一章 办卡</h2>
    <h3>第一条 普通卡</h3><p>任何人均可购买，<br>不记名。</p><ul><li>工本费18元</li><li>不收押金</li></ul>
    <h3>第二条 票价</h3><table><tr><th>方式</th><th>票价</th></tr><tr><td rowspan="2">公交</td><td>2元</td></tr><tr><td>3元</td></tr></table>
    <h4>说明</h4><p>儿童免票。</p><footer>版权所有</footer></body></html>"""
    drafted = imported(tmp_path, text, "guide.html", "gb18030")
    assert articles(drafted) == ["第一条", "第二条"]
    assert drafted[0].draft.answer == "任何人均可购买，\n不记名。\n- 工本费18元\n- 不收押金"
    assert drafted[1].draft.answer == "方式：公交；票价：2元\n方式：公交；票价：3元\n说明\n儿童免票。"
    assert (drafted[0].chapter, drafted[0].draft.document) == ("第一章 办卡", "乘车卡指南")


def test_folding_questions_in_html_become_drafts(tmp_path: Path) -> None:
    fold = "<details><summary>{}</summary><p>{}</p></details>"
    text = "<html><body><h1>供热问答</h1><h2>缴费</h2>" + "".join(
        fold.format(*pair)
        for pair in [
            ("怎么交热费？", "可以在公众号、银行和营业厅缴纳热费，九月前缴清有优惠。"),
            ("发票怎么开？", "缴费次日可以在公众号下载电子票据，纸质到营业厅。"),
        ]
    )
    drafted = imported(tmp_path, text, "faq.html")
    assert [each.draft.question for each in drafted] == ["怎么交热费？", "发票怎么开？"]
    assert [each.chapter for each in drafted] == ["缴费", "缴费"]


def test_the_content_counts_when_the_extension_lies(tmp_path: Path) -> None:
    for source, name in [("heating.docx", "guide.txt"), ("broadband.pdf", "guide.docx"), ("metro.html", "guide.txt")]:
        (tmp_path / name).write_bytes((GUIDES / source).read_bytes())
        assert articles(split(read(tmp_path / name))) == articles(split(read(GUIDES / source)))


# what cannot be imported


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"", "empty"),
        ("a.txt", b" \n\t\n", "empty"),
        ("a.md", b"---\n\n***\n", "empty"),
        ("a.docx", b"This is no Word file.", "unreadable"),
        ("a.docx", b"PK\x03\x04 torn", "unreadable"),
        ("a.pdf", b"%PDF-1.7 torn", "unreadable"),
        ("a.txt", bytes(range(256)) * 8, "unreadable"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "unsupported"),
        ("a.xlsx", b"column;column", "unsupported"),
        ("a.txt", "尊敬的客户：\n您好！感谢来信，问题已经解决。\n客户服务部\n".encode(), "no_articles"),
        ("a.md", b"# Title\n\nOnly a paragraph.\n", "no_articles"),
    ],
)
def test_files_without_articles_have_a_reason_and_facts(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    error = problem(path)
    assert (error.reason, error.facts["name"]) == (reason, name)


def test_a_scanned_pdf_is_empty(tmp_path: Path) -> None:
    canvas = Canvas(str(tmp_path / "scan.pdf"))
    canvas.rect(100, 100, 200, 200)
    canvas.showPage()
    canvas.save()
    assert problem(tmp_path / "scan.pdf").reason == "empty"


def test_missing_and_huge_files_have_a_reason(tmp_path: Path) -> None:
    assert problem(tmp_path / "missing.txt").reason == "unreadable"
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(LARGEST + 1)
    error = problem(tmp_path / "huge.txt")
    assert (error.reason, error.facts["bytes"]) == ("too_large", LARGEST + 1)


# properties

CLAUSE = st.text(alphabet="水电气热表管费停修装户单价月日厅站线网卡票", min_size=2, max_size=12)
ARTICLE = st.lists(CLAUSE, min_size=1, max_size=6).map(lambda clauses: "，".join(clauses) + "。")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(ARTICLE, min_size=1, max_size=5), min_size=1, max_size=4),
    st.sampled_from(["", "\n", "\n\n"]),
    st.sampled_from(["", " ", "　"]),
)
def test_every_character_of_the_articles_is_in_exactly_one_draft(chapters: list[list[str]], end: str, gap: str) -> None:
    lines, expected, number = ["客户服务指南"], [], 0
    for nth, chapter in enumerate(chapters, 1):
        for at, article in enumerate(chapter):
            number += 1
            head = f"第{drawn(nth, 'chineseCounting')}章{gap}总则{end}" if at == 0 else ""
            label = f"第{drawn(number, 'chineseCounting')}条"
            lines.append(f"{head}{label}{gap}{article}")
            expected.append((label, han(article)))
    if number < 2:
        return
    blocks = tuple(Block(line) for text in lines for line in text.replace("　", " ").split("\n") if line)
    drafted = split(Document("guide.txt", blocks))
    assert [(each.draft.article, han(each.draft.answer)) for each in drafted] == expected


@given(st.integers(1, 999))
def test_chinese_numerals_are_read_as_they_are_drawn(number: int) -> None:
    assert value(drawn(number, "chineseCounting")) == number


# whole guides

COUNTS = {"water.txt": 52, "gas.md": 43, "heating.docx": 38, "metro.html": 30, "broadband.pdf": 36, "english.md": 24}


@pytest.mark.parametrize("name", COUNTS)
def test_sample_guides_yield_every_article(name: str) -> None:
    drafted = split(read(GUIDES / name))
    rows = [json.loads(line) for line in (GUIDES / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
    asked = {a for row in rows if row["guide"] == name for a in row.get("articles", [row.get("article")]) if a}
    assert asked <= set(articles(drafted))
    assert len(drafted) == COUNTS[name]
    assert all(each.warnings == [] for each in drafted)


@pytest.mark.parametrize("name", ["water.txt", "heating.docx", "metro.html", "broadband.pdf"])
def test_sample_guides_lose_nothing_after_the_first_article(name: str) -> None:
    has_headings = name == "metro.html"
    document = read(GUIDES / name)
    texts = [block.text for block in document.blocks]
    first = next(i for i, text in enumerate(texts) if text.startswith("第一条"))
    body = "".join(texts[first:])
    kept = Counter[str]()
    chapters = dict.fromkeys(each.chapter for each in split(document))
    for each in split(document):
        title = each.draft.title if has_headings else ""
        kept.update(han(each.draft.article + title + each.draft.answer))
    kept.update(han("".join(list(chapters)[1:])))
    assert kept == Counter(han(body))


@pytest.mark.parametrize(
    ("name", "reason"), [("not_a_guide.txt", "no_articles"), ("empty.txt", "empty"), ("broken.docx", "unreadable")]
)
def test_sample_files_that_are_no_guides_are_refused(name: str, reason: str) -> None:
    assert problem(GUIDES / name).reason == reason
