"""Fuzz the CSV reader, plain and packed."""

from __future__ import annotations

import gzip

from fuzzing import fuzz, read_csv

PLAIN = b"conversation_id,author,text\nc,a,x\nc,b,\n\nd,a,y\n"
FULL = (
    "\ufeffauthor;conversation_id;text;timestamp;label;author_label;group;split;feat_a;feat_b;other\r\n"
    'a;c;"x;""y""\r\n\r\nz";1.5;yes;1;g;dev;1;2;o\r\n'
    "b;c;NA;2024-01-01;yes;0;g;dev;3;4;o\r\n"
    "b;d;;;no;;;;5;6;o\r\n"
).encode()

WORDS = ['"', '""', ',"', '",', "\t", ";", "NA", "inf", "feat_"]

if __name__ == "__main__":
    fuzz(read_csv, [".csv", ".csv.gz"], [PLAIN, gzip.compress(PLAIN), FULL, gzip.compress(FULL)], WORDS)
