// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package share lets several machines anonymize the videos of one shared folder, each video exactly once.
//
// The folder is the source of truth: it holds the sources, the masked segments and the outputs. A NATS bucket records
// who works on what, with one record for each video and one for each unit, a part of a video. Every change of a record
// is a compare-and-set on its revision. The revision at which a claim begins, its epoch, is in the name of every file
// written under that claim. So a machine that is late, because it was stopped or cut off, can neither commit what
// another machine has taken over nor write that machine's files.
//
// There is no queue: every machine watches the bucket, and an idle machine claims work from it directly. A queue would
// be a second account of the pending work, which could differ from the records after a fault. The compare-and-set would
// still be needed, since a stale acknowledgment completes another worker's delivery: only the compare-and-set makes a
// commit exact.
//
// A claim is held as long as its holder's heartbeat changes. Observers measure that with their own monotonic clocks,
// and only while their own heartbeats come back, so that a machine that was cut off does not take the others for dead.
package share
