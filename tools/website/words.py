"""Cut texts and queries into words for the search, Chinese without a dictionary.

Sphinx has no splitter of Chinese queries: its index has the words of a segmenter, and a query of
two words is looked up as one. Here both sides cut a run of Chinese characters into its pairs:
"学习速率" is 学习, 习速 and 速率, and a page is found if it has all three. The index has single
characters too, and the parts of names such as `learning_rate`. Latin words are stemmed.
"""

import re
from typing import Any

from sphinx.search.en import SearchEnglish

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_RUNS = re.compile(f"[{HAN}]+|[^\\W{HAN}]+")

_SPLITTER = """
function splitQuery(query) {
  const words = [];
  for (const run of query.match(/[HAN]+|(?:(?![HAN])[\\p{L}\\p{N}_])+/gu) || []) {
    if (!/^[HAN]{2,}$/u.test(run)) words.push(run);
    else for (let i = 0; i + 1 < run.length; i++) words.push(run.slice(i, i + 2));
  }
  return words;
}
""".replace("HAN", HAN.encode("ascii", "backslashreplace").decode())


class Words(SearchEnglish):
    """Pairs of Chinese characters, and stems of Latin words."""

    js_splitter_code = _SPLITTER

    def split(self, input: str) -> list[str]:
        words: list[str] = []
        for run in _RUNS.findall(input):
            if re.match(f"[{HAN}]", run):
                words += run
                words += [run[start : start + 2] for start in range(len(run) - 1)]
            else:
                words += {run, *filter(None, run.split("_"))}
        return words


class ChineseWords(Words):
    """The same for the Chinese edition. Its stemmer is the English one too."""

    lang = "zh"


def setup(app: Any) -> dict[str, Any]:
    app.add_search_language(Words)
    app.add_search_language(ChineseWords)
    return {"parallel_read_safe": True}
