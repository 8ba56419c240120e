// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

// Origin tells where a mask comes from.
type Origin string

const (
	// OriginPose: the head was located by facial keypoints or shoulders.
	OriginPose Origin = "pose"
	// OriginBox: no trustworthy keypoint; the top of the person's box.
	OriginBox Origin = "box"
	// OriginInterpolated: between two sightings of the same person.
	OriginInterpolated Origin = "interpolated"
	// OriginHeld: carried beyond a person's first or last sighting.
	OriginHeld Origin = "held"
	// OriginFrame: the frame could not be judged and is masked whole.
	OriginFrame Origin = "frame"
)

// Head is the ellipse that covers a head: centre and half axes in pixels of the frame, and the angle in radians by
// which the ellipse's vertical axis is turned clockwise (0: upright).
type Head struct {
	X, Y   float32
	RX, RY float32
	Angle  float32
	// Box asks for the rectangle around the ellipse, with the same centre, half axes and angle, to be covered.
	Box bool
	// Score is the confidence 0..1 of what the head was derived from.
	Score  float32
	Origin Origin
}
