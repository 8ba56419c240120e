// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"time"

	"go.opentelemetry.io/collector/confmap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
)

// Recall trades speed for recall.
type Recall string

const (
	// Fast finds people who are near by, wherever the detector is confident.
	Fast Recall = "fast"
	// Balanced searches frames as hard as their content demands: quickly where a few people are near by, harder where
	// surveys find more, and as often as people move.
	Balanced Recall = "balanced"
	// Thorough surveys every frame, and adds weak detections that a pose, a face or a track confirms. It is for footage
	// that can wait.
	Thorough Recall = "thorough"
)

var recalls = []Recall{Fast, Balanced, Thorough}

// setRecall sets recall and the keys whose defaults it gives.
func (c *Config) setRecall(recall Recall) {
	c.Recall = recall
	d := &c.Detector
	switch recall {
	case Fast:
		c.DetectEvery, d.CandidateThreshold, d.Faces, d.Tiles = 3, 0, "", 1
		d.Survey.Enabled = false
	case Balanced:
		c.DetectEvery, d.CandidateThreshold, d.Faces, d.Tiles = 0, 0, "blazeface", 1
		d.Survey.Enabled, d.Survey.Interval = true, 8*time.Second
	case Thorough:
		c.DetectEvery, d.CandidateThreshold, d.Faces, d.Tiles = 1, 0.15, "blazeface", 2
		d.InputSize = InputSize{LongSide: 640}
		d.Survey.Enabled, d.Survey.Interval = true, 0
	}
}

// Unmarshal reads the configuration, and what each profile makes of it.
func (c *Config) Unmarshal(conf *confmap.Conf) error {
	before := *c
	if err := c.read(conf); err != nil {
		return c.withOthers(err)
	}
	return c.readProfiles(conf, &before)
}

// read reads recall and mask::method first, which set the defaults of other keys, so that every other key that is given
// takes precedence. Former names of keys become those of today before.
func (c *Config) read(conf *confmap.Conf) (err error) {
	if c.warnings, err = rewrite(conf, renames); err != nil {
		return err
	}
	if conf.IsSet("share") {
		shared := share.DefaultConfig()
		c.Share = &shared
	}
	thorough := *c
	thorough.setRecall(Thorough)
	if recall := conf.Get("recall"); recall != nil {
		c.setRecall(Recall(fmt.Sprint(recall)))
	}
	if conf.Get("mask::method") == string(mask.Whitelist) {
		c.DetectEvery = 1
	}
	c.thorough = &thorough
	if err := conf.Unmarshal(c); err != nil {
		return Explain(err)
	}
	return conf.Unmarshal(&thorough)
}

// AsThorough returns the configuration as it would be with recall: thorough. Other keys that were given still take
// precedence.
func (c *Config) AsThorough() *Config {
	as := *c
	as.setRecall(Thorough)
	if c.thorough != nil {
		as.DetectEvery, as.Detector = c.thorough.DetectEvery, c.thorough.Detector
	}
	return &as
}

// AsSecondLook is the configuration by which outputs are searched once more: thoroughly, and by the defaults, to find
// what the keys that were given do not.
func (c *Config) AsSecondLook() *Config {
	as := *c
	as.Detector, as.Pose = defaultDetector(), defaultPose()
	as.Detector.MinPersonSize = c.Detector.MinPersonSize
	as.setRecall(Thorough)
	return &as
}
