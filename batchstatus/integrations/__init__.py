"""Adapters for queues, one a module: `celery`, `rq`, `dramatiq`. Each needs the extra of its name.

from batchstatus.integrations.celery import batch_task
"""
