// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import "github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"

// OnUncertain says what is masked of a person whose head no trustworthy keypoint shows.
type OnUncertain string

const (
	// HeadRegion masks the part of the person's box where a head can be.
	HeadRegion OnUncertain = "head_region"
	// WholePerson masks the person's box.
	WholePerson OnUncertain = "whole_person"
	// WholeFrame masks the frame.
	WholeFrame OnUncertain = "whole_frame"
)

// GeometryOptions tune how a head is located; the zero value gives the defaults.
type GeometryOptions struct {
	// MinScore is the confidence 0..1 below which a keypoint is refused; 0 means 0.2.
	MinScore float32
	// OnUncertain is what to mask where only the person's box is known; empty means HeadRegion.
	OnUncertain OnUncertain
}

// LocateHead returns the head of one person.
func LocateHead(person vision.Person, frameWidth, frameHeight int, opts GeometryOptions) Head {
	return LocateHeads([]vision.Person{person}, frameWidth, frameHeight, opts)[0]
}

// LocateHeads returns one head for each person, in order.
func LocateHeads(people []vision.Person, frameWidth, frameHeight int, opts GeometryOptions) []Head {
	heads := make([]Head, len(people))
	for i := range heads {
		heads[i] = frameHead(frameWidth, frameHeight)
	}
	return heads
}

// frameHead covers the whole frame.
func frameHead(width, height int) Head {
	w, h := float32(width)/2, float32(height)/2
	return Head{X: w, Y: h, RX: w, RY: h, Box: true, Origin: OriginFrame}
}
