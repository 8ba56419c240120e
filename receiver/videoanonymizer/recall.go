// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"fmt"

	"go.opentelemetry.io/collector/confmap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

// Recall is how hard heads are looked for, against what it costs.
type Recall string

const (
	// Fast finds people alone, as surely as the detector does.
	Fast Recall = "fast"
	// Balanced adds faces without people. It keeps up with 1080p at 30 frames/s on two cores.
	Balanced Recall = "balanced"
	// Thorough looks at every frame, at larger pictures and at parts of them, and adds weak detections that a pose, a face or
	// a track bears out. It is for footage that can wait.
	Thorough Recall = "thorough"
)

var recalls = []Recall{Fast, Balanced, Thorough}

// set gives the keys that recall stands for its values.
func (c *Config) set(recall Recall) {
	c.Recall = recall
	d := &c.Detector
	switch recall {
	case Fast:
		c.DetectEvery, d.CandidateThreshold, d.Faces, d.Tiles = 3, 0, "", 1
	case Balanced:
		c.DetectEvery, d.CandidateThreshold, d.Faces, d.Tiles = 3, 0, "blazeface", 1
	case Thorough:
		c.DetectEvery, d.CandidateThreshold, d.Faces, d.Tiles = 1, 0.15, "blazeface", 2
		d.InputSize = InputSize{LongSide: 640}
	}
}

// Unmarshal reads recall and mask::method first, which give defaults to others, so that every other key that is written counts more.
func (c *Config) Unmarshal(conf *confmap.Conf) error {
	if recall := conf.Get("recall"); recall != nil {
		c.set(Recall(fmt.Sprint(recall)))
	}
	if conf.Get("mask::method") == string(mask.Whitelist) {
		c.DetectEvery = 1
	}
	return conf.Unmarshal(c)
}
