"""That what a plug-in registers is found where people look: in suggestions, in the fronts of a search, on its page."""

from __future__ import annotations

import torch
from torch import nn

from effwidgets.records import Plan, Step, StudyState, settings
from effwidgets.search import SearchOptions, explore, suggest
from effwidgets.views.pareto import payload


def main() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.Flatten(), nn.Linear(16, 4)).eval()
    images = torch.randn(8, 3, 5, 5)

    advice = suggest(model, images)
    assert "channel_svd" in {one.step.transform for one in advice}, advice
    assert "channel_svd" in advice._repr_mimebundle_()["text/html"]

    plans = tuple(
        Plan(steps=(Step(transform="channel_svd", layers=("2",), settings=settings(rank=rank)),)) for rank in (2, 6)
    )
    target = model(images).detach()

    def near(candidate: nn.Module) -> float:
        return float((candidate(images).detach() - target).norm())

    study = explore(model, images, evaluate=near, options=SearchOptions(plans=plans, better="lower")).run()
    state = study.snapshot()
    candidates = study.candidates()
    traffic = [{one.metric: one.value for one in known.measures}["traffic_bytes"] for known in candidates]
    assert len(set(traffic)) == 3, traffic
    assert [front.axis for front in state.fronts][-1] == "traffic_bytes", "it is no axis, or stands before the built-in"
    assert "intensity" not in [front.axis for front in state.fronts], "more of it is better: it is no cost"
    by_hand = {
        known.number
        for known in candidates
        if not any(
            traffic[other.number] <= traffic[known.number] and other.score() < known.score() for other in candidates
        )
    }
    assert {known.number for known in study.front("traffic_bytes")} == by_hand
    assert study.best(axis="traffic_bytes").number == 0, "the dense model is the nearest to itself"
    least = min(range(3), key=lambda number: traffic[number])
    assert study.best(traffic[least], axis="traffic_bytes").number == least

    data = payload(state)
    assert data["axes"][-1] == "traffic_bytes"
    assert [row["values"]["traffic_bytes"] for row in data["candidates"]] == traffic
    assert all(row["values"]["intensity"] > 0 for row in data["candidates"])
    assert "traffic bytes" in study._repr_mimebundle_()["text/html"]
    assert StudyState.from_dict(state.to_dict()) == state
    print("everything is within reach")  # noqa: T201  read by the test


if __name__ == "__main__":
    main()
