// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

// variant is a way to run the receiver: settings that are laid over the default configuration.
type variant struct {
	name, about string
	// settings of the receiver videoanonymizer, in YAML's flow style.
	settings string
	// detail is what the table of weak moments is made of.
	detail bool
}

// variants are measured in this order. One whose settings the program does not know is left out, and it is said so.
var variants = []variant{
	{name: "default", about: "the configuration as it comes", detail: true},
	{name: "fast", about: "`recall: fast`", settings: "recall: fast"},
	{name: "thorough", about: "`recall: thorough`", settings: "recall: thorough", detail: true},
	{name: "whitelist", about: "`mask::method: whitelist`, which masks people but for trunk and limbs", settings: "mask: {method: whitelist}"},
	{name: "no tracking", about: "each frame by itself: `detect_every: 1`, `look_ahead: 1ms`, which is less than a frame",
		settings: "detect_every: 1, look_ahead: 1ms"},
	{name: "nose disc", about: "`mask::shape: nose_disc`, a disc around the nose that reaches to the farther shoulder, without tracking and " +
		"without faces: what this program's forerunner masked", settings: "mask: {shape: nose_disc}, detector: {faces: \"\"}, detect_every: 1, look_ahead: 1ms"},
	{name: "BlazeFace", about: "a detector of faces alone, without people", settings: "detector: {model: blazeface}"},
}
