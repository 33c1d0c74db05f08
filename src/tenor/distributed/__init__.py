"""Encoding, predicting and profiling Parquet shards on many machines, by Ray Data.

A shard is a Parquet file of conversations, of analyzed conversations or of predictions. Each is read and written by
one actor at a time, through the same code as on one machine; Ray schedules, retries and restarts. Knows nothing of
training.
"""

from tenor.distributed.profiles import profile_shards as profile_shards
from tenor.distributed.stages import ShardSummary as ShardSummary
from tenor.distributed.stages import encode_shards as encode_shards
from tenor.distributed.stages import predict_shards as predict_shards
