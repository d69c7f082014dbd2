"""How long answers took, as distributions: one slow request says little about a service."""


def timings(answers):
    """Two pictures in one matplotlib figure: the share of answers whose first token, and whose end, has come by a time.

    Labels are ASCII, readable without Chinese fonts: a column is named by the first word of its name.
    """
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(8, 2.8), dpi=75, sharey=True, layout="constrained")
    for axes, measure in zip(panels, ("first_token_seconds", "seconds"), strict=True):
        for name, part in answers.groupby("column", sort=False)[measure]:
            times = part.dropna()
            axes.ecdf(times, label=f"{name.split()[0]}: median {times.median():.2f} s")
        axes.set(xlabel=measure, xlim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    panels[0].set_ylabel("share of answers")
    plt.close(figure)  # shown once, by the cell that returns it
    return figure
