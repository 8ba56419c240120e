// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package share lets several machines anonymize the videos of one shared folder, each video exactly once.
//
// The folder is the truth: sources, masked segments and outputs are files below it. A bucket of NATS says who does
// what: one record for each video and one for each unit, a part of a video. Every change of a record is a
// compare-and-set on its revision, and a claim's revision, its epoch, is in the name of each file that is written under
// it. So a machine that is late, because it was stopped or cut off, can neither commit what another has taken over nor
// write its files.
//
// Nothing is queued: every machine follows the bucket, and a machine that is idle claims from it directly. A queue
// would add a second account of what is to be done, which can differ from the records after a fault, while the
// compare-and-set is needed anyway: a stale acknowledgment completes the delivery of another worker. It is the
// compare-and-set alone that makes a commit exact.
//
// A claim is held as long as its holder's heartbeat changes. Observers measure that with their own monotonic clocks,
// and only while their own heartbeats come back, so that who was cut off does not take the others for dead.
package share
