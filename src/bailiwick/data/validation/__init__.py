"""Holding statistics against a schema: TFDV's anomaly types by their own names, with TFDV's conditions and severities."""

from bailiwick.data.validation.anomalies import Anomaly, Measurement, Report
from bailiwick.data.validation.checking import check, validate
from bailiwick.data.validation.relaxation import relax

__all__ = ["Anomaly", "Measurement", "Report", "check", "relax", "validate"]
