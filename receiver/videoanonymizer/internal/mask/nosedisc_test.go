// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"testing"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

func TestNoseDisc(t *testing.T) {
	type keypoint = vision.Keypoint
	pose := func(nose, left, right keypoint) *vision.Pose {
		return &vision.Pose{vision.Nose: nose, vision.LeftShoulder: left, vision.RightShoulder: right}
	}
	box := vision.Detection{Box: vision.Box{X0: 40, Y0: 20, X1: 160, Y1: 300}, Score: 0.9}
	for name, tt := range map[string]struct {
		person vision.Person
		want   Head
	}{
		"left shoulder farther": {
			vision.Person{
				Detection: box,
				Pose:      pose(keypoint{X: 100, Y: 60, Score: 0.8}, keypoint{X: 130, Y: 100}, keypoint{X: 100, Y: 90}),
			},
			Head{X: 100, Y: 60, RX: 50, RY: 50, Score: 0.8, Origin: OriginPose}},
		"right shoulder farther, nose uncertain": {
			vision.Person{
				Detection: box,
				Pose:      pose(keypoint{X: 0, Y: 10, Score: 0.01}, keypoint{X: 3, Y: 10}, keypoint{X: 6, Y: 18}),
			},
			Head{X: 0, Y: 10, RX: 10, RY: 10, Score: 0.01, Origin: OriginPose}},
		"all in one point": {
			vision.Person{Detection: box, Pose: &vision.Pose{}},
			Head{RX: 1, RY: 1, Origin: OriginPose}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := locateHead(tt.person, 640, 480, GeometryOptions{NoseDisc: true}); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
	// Without a pose the nose is not known.
	got := locateHead(vision.Person{Detection: box}, 640, 480, GeometryOptions{NoseDisc: true})
	if got.Origin != OriginBox {
		t.Errorf("got %+v for a person without a pose", got)
	}
}
