// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

// variant is a way to mask footage: settings of the receiver that override the default configuration, or the peer.
type variant struct {
	name, about string
	// settings are the settings of the receiver videoanonymizer, in YAML flow style.
	settings string
	// threshold is the peer's threshold; 0 for the receiver.
	threshold float64
	// equalTo names the variant whose coverage determines the peer's threshold.
	equalTo string
	// detail adds a table for each half, and a list of the heads that are not covered.
	detail bool
	// targets are the variant's targets in each category; nil if it has none.
	targets *targets
}

// targets are bounds: shares are in percent, and ghosts per 1000 frames.
type targets struct {
	covered, faces                      float64 // at least
	blinks                              int     // at most, as all below
	outsideMean, outside95, outsideMost float64
	tight, ghosts                       float64
}

// variants are measured in this order. A variant whose settings the program does not accept is skipped, and the report
// says so.
var variants = []variant{
	{name: "default", about: "the default configuration", detail: true, targets: &targets{covered: 98, faces: 99.5,
		outsideMean: 1, outside95: 3, outsideMost: 12, tight: 2.2, ghosts: 1}},
	{name: "fast", about: "`recall: fast`", settings: "recall: fast"},
	{name: "thorough", about: "`recall: thorough`", settings: "recall: thorough", detail: true,
		targets: &targets{covered: 99.5, faces: 100, outsideMean: 1.5, outside95: 5, outsideMost: 20, tight: 2.5,
			ghosts: 1}},
	{name: "whitelist", about: "`mask::method: whitelist`, which masks people except for trunk and limbs",
		settings: "mask: {method: whitelist}"},
	{name: "no tracking",
		about:    "each frame by itself: `detect_every: 1`, `look_ahead: 1ms`, which is less than a frame",
		settings: "detect_every: 1, look_ahead: 1ms"},
	{name: "nose disc",
		about: "`mask::shape: nose_disc`, a disc around the nose that reaches to the farther shoulder, " +
			"without tracking and face detection: what the predecessor of this program masked",
		settings: "mask: {shape: nose_disc}, detector: {faces: \"\", survey: {faces: \"\"}}, " +
			"detect_every: 1, look_ahead: 1ms"},
	{name: "deface", about: "another program, [deface](https://github.com/ORB-HD/deface) 1.5.0, as `pip` installs it, " +
		"with `--replacewith solid`", threshold: peerThreshold},
	{name: "deface at equal coverage", about: "the same, with the `--thresh` at which it covers as many heads as the " +
		"default configuration of this program", threshold: peerThreshold, equalTo: "default"},
}
