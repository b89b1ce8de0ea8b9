"""Caching schedules for diffusers pipelines.

    from ecad_diffusers import apply_schedule, load_schedule

    with apply_schedule(pipeline, load_schedule("fast.json")) as applied:
        image = pipeline("a red fox in the snow", num_inference_steps=20).images[0]
    print(applied.statistics)
"""

from .apply import AppliedSchedule, Statistics, apply_schedule, transformer_shape
from .files import Entry, load_entry, load_schedule, read_schedules, save_schedule
from .schedule import Action, Schedule, ScheduleError, Shape

__version__ = "0.1.0"

__all__ = [
    "Action",
    "AppliedSchedule",
    "Entry",
    "Schedule",
    "ScheduleError",
    "Shape",
    "Statistics",
    "apply_schedule",
    "load_entry",
    "load_schedule",
    "read_schedules",
    "save_schedule",
    "transformer_shape",
]
