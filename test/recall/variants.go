// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

// variant is a way to run the receiver: settings that override the default configuration.
type variant struct {
	name, about string
	// settings of the receiver videoanonymizer, in YAML flow style.
	settings string
	// detail lists the heads that are not covered.
	detail bool
}

// variants are measured in this order. A variant whose settings the program does not accept is skipped, and the report
// says so.
var variants = []variant{
	{name: "default", about: "the default configuration", detail: true},
	{name: "fast", about: "`recall: fast`", settings: "recall: fast"},
	{name: "thorough", about: "`recall: thorough`", settings: "recall: thorough", detail: true},
	{name: "whitelist", about: "`mask::method: whitelist`, which masks people except for trunk and limbs",
		settings: "mask: {method: whitelist}"},
	{name: "no tracking",
		about:    "each frame by itself: `detect_every: 1`, `look_ahead: 1ms`, which is less than a frame",
		settings: "detect_every: 1, look_ahead: 1ms"},
	{name: "nose disc",
		about: "`mask::shape: nose_disc`, a disc around the nose that reaches to the farther shoulder, " +
			"without tracking and face detection: what the predecessor of this program masked",
		settings: "mask: {shape: nose_disc}, detector: {faces: \"\"}, detect_every: 1, look_ahead: 1ms"},
	{name: "BlazeFace", about: "only a face detector, no person detector", settings: "detector: {model: blazeface}"},
}
