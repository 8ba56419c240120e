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
	// Fast finds people who are near, wherever the detector is confident.
	Fast Recall = "fast"
	// Balanced searches frames as hard as their content requires: quickly where a few people are near, harder where
	// surveys find more, and more often the more people move.
	Balanced Recall = "balanced"
	// Thorough surveys every frame, and adds weak detections that a pose, a face or a track confirms. It is for footage
	// that is not urgent.
	Thorough Recall = "thorough"
)

var recalls = []Recall{Fast, Balanced, Thorough}

// setRecall sets recall and the defaults that depend on it.
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

// Unmarshal reads the configuration, including the resulting configuration of each profile.
func (c *Config) Unmarshal(conf *confmap.Conf) error {
	before := *c
	if err := c.read(conf); err != nil {
		return c.withOthers(err)
	}
	return c.readProfiles(conf, &before)
}

// read replaces former names of keys, then reads recall and mask::method, which set defaults of other keys, and then
// everything else, so that keys that are given take precedence over these defaults.
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

// AsSecondLook returns the configuration with which outputs are searched once more: thoroughly, and with the defaults,
// to find what the keys that were given miss.
func (c *Config) AsSecondLook() *Config {
	as := *c
	as.Detector, as.Pose = defaultDetector(), defaultPose()
	as.Detector.MinPersonSize = c.Detector.MinPersonSize
	as.setRecall(Thorough)
	return &as
}
