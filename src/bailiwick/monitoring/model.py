"""What a monitor is: a rule for windows, a reference for each version, and the windows and alarms that came of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bailiwick.core.clock import MILLISECONDS_PER_DAY
from bailiwick.core.errors import InvalidInput

LOSSES = ("misclassification", "brier", "log_loss")


class Kind(StrEnum):
    """What an alarm is about; each kind of `WATCHED` has its own share of an endpoint's budget of false alarms.

    Those that begin with `data_` are about a snapshot: a declared check that failed, or a sudden change of its source.
    Those of `SERVING` are about whether an endpoint answers, whatever the data.
    """

    FEATURE_DRIFT = "feature_drift"
    PREDICTION_DRIFT = "prediction_drift"
    PERFORMANCE = "performance"
    DATA_CHECK = "data_check"
    DATA_SCHEMA = "data_schema"
    DATA_VOLUME = "data_volume"
    DATA_FRESHNESS = "data_freshness"
    DATA_DISTRIBUTION = "data_distribution"
    SERVING_DOWN = "serving_down"
    AVAILABILITY = "availability"
    LATENCY = "latency"

    @property
    def of_data(self) -> bool:
        """Whether it is about a snapshot rather than an endpoint."""
        return self not in WATCHED and self not in SERVING


WATCHED = (Kind.FEATURE_DRIFT, Kind.PREDICTION_DRIFT, Kind.PERFORMANCE)
"""The kinds that a monitor of an endpoint may raise; a newer version may be the answer to them."""

SERVING = (Kind.SERVING_DOWN, Kind.AVAILABILITY, Kind.LATENCY)
"""The kinds that are raised when an endpoint does not answer as promised; they end by themselves when it does."""


class WindowStatus(StrEnum):
    """THIN windows have too few rows to judge; NO_REFERENCE ones have nothing to be judged against."""

    OK = "ok"
    ALARM = "alarm"
    THIN = "thin"
    NO_REFERENCE = "no_reference"


class AlarmStatus(StrEnum):
    """Only an OPEN alarm keeps others of its kind and reference from being raised."""

    OPEN = "OPEN"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RESOLVED = "RESOLVED"


@dataclass(frozen=True, slots=True)
class MonitorConfig:
    """The rule. `false_alarms` may happen in each `period_ms` of windows without any change, all kinds together.

    `drift_margin` is the distance (between distributions, 0 to 1) that does not matter; `performance_margin` how much
    worse than expected, as a share of the expected loss, does not; `outcome_delay_ms` how long after a prediction its
    outcome may arrive, so that a window is judged only when it is complete. The three shares split the budget.
    """

    window_ms: int = MILLISECONDS_PER_DAY
    drift_margin: float = 0.05
    false_alarms: float = 1.0
    period_ms: int = 90 * MILLISECONDS_PER_DAY
    performance_metric: str = "misclassification"
    performance_margin: float = 0.1
    outcome_delay_ms: int = 0
    min_rows: int = 50
    feature_share: float = 0.3
    prediction_share: float = 0.3
    performance_share: float = 0.4

    def __post_init__(self) -> None:
        for name in ("window_ms", "period_ms", "false_alarms", "min_rows"):
            if getattr(self, name) <= 0:
                raise InvalidInput(f"{name} {getattr(self, name)} must be above 0.")
        for name in ("drift_margin", "performance_margin", "outcome_delay_ms"):
            if getattr(self, name) < 0:
                raise InvalidInput(f"{name} {getattr(self, name)} must not be negative.")
        if self.performance_metric not in LOSSES:
            raise InvalidInput.choice("performance_metric", self.performance_metric, LOSSES)
        shares = (self.feature_share, self.prediction_share, self.performance_share)
        if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
            raise InvalidInput(f"The shares of the budget {shares} must be above 0 and sum to 1.")
        if self.false_alarms * self.window_ms > 0.5 * self.period_ms:
            raise InvalidInput(
                f"A budget of {self.false_alarms:g} false alarms in {self.period_ms / self.window_ms:g} windows promises nothing.",
                hint="Allow at most one in two windows: lengthen the period or shorten the window.",
            )

    @property
    def budget(self) -> dict[Kind, float]:
        """Expected false alarms a window, by kind: at most these, whatever the data."""
        each = self.false_alarms * self.window_ms / self.period_ms
        return {
            Kind.FEATURE_DRIFT: each * self.feature_share,
            Kind.PREDICTION_DRIFT: each * self.prediction_share,
            Kind.PERFORMANCE: each * self.performance_share,
        }


@dataclass(frozen=True, slots=True)
class Drift:
    """One feature of one window against the reference: `bound` is what the distance is at least, after sampling error;
    `where` the bin or category that moved most.
    """

    feature: str
    kind: str
    distance: float
    bound: float
    p_value: float
    drifted: bool
    where: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """Predictions with event time in [start, end), judged once.

    `predictions` and `outcomes` are those of `model` and `version`, which served most of the window. `skipped` are
    features of the reference that the log lacks or holds as another kind of thing; `spent` is the budget used, by kind.
    """

    id: str
    workspace: str
    endpoint: str
    start: int
    end: int
    model: str
    version: int
    predictions: int
    outcomes: int
    drift: tuple[Drift, ...]
    prediction_drift: Drift | None
    skipped: tuple[str, ...]
    performance: dict[str, float]
    status: WindowStatus
    spent: dict[str, float]
    evaluated: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something changed, by evidence that is this strong without a change at most as often as the budget says.

    One about data has no endpoint: `model` is then the dataset and `window` the snapshot, and `evidence` holds the
    `severity` (`ERROR` keeps the snapshot from training while the alarm is open), the `findings`, and who is `told`.
    """

    id: str
    workspace: str
    endpoint: str
    kind: Kind
    model: str
    version: int
    window: str
    message: str
    evidence: dict[str, Any]
    status: AlarmStatus
    raised: int
    closed: int | None
    closed_by: str
    note: str

    @property
    def dataset(self) -> str:
        """The dataset that it is about; "" for one about an endpoint."""
        return self.model if self.kind.of_data else ""

    @property
    def snapshot(self) -> str:
        """Likewise the snapshot."""
        return self.window if self.kind.of_data else ""

    @property
    def severity(self) -> str:
        """ERROR or WARNING; of an endpoint's alarms nothing hangs on it."""
        return str(self.evidence.get("severity", "ERROR"))


@dataclass(frozen=True, slots=True)
class Reference:
    """What one version is compared with: a profile of its training data (JSON) and the loss that was expected of it."""

    model: str
    version: int
    profile: str
    expected_loss: float | None
    since: int


@dataclass(frozen=True, slots=True)
class MonitorSummary:
    """Everything a page about one endpoint shows; `config` is None where nobody watches it.

    `promised` and `raised` count alarms by kind, over all windows.
    """

    endpoint: str
    config: MonitorConfig | None
    windows: tuple[Window, ...]
    open_alarms: tuple[Alarm, ...]
    judged: int
    promised: dict[str, float]
    raised: dict[str, int]
