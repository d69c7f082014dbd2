// The order of what the search finds: lessons and guides before single names of the reference,
// and what was measured or changed after them. Sphinx asks for this object; see searchtools.js.
var Scorer = {
  score: ([docname, , , , score]) => {
    if (/^(course|guides)\//.test(docname)) return score + 2;
    if (/^project\//.test(docname)) return score - 3;
    return score;
  },
  objNameMatch: 11,
  objPartialMatch: 4,
  objPrio: { 0: 3, 1: 1, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
