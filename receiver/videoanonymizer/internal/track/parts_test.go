// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

func TestParts(t *testing.T) {
	one := person(400, 300, 60, rand.New(rand.NewPCG(1, 1)))
	other := person(400, 450, 20, rand.New(rand.NewPCG(2, 2)))
	inside := vision.Box{X0: one.Box.X0 + 10, Y0: one.Box.Y0 + 150, X1: one.Box.X0 + 90, Y1: one.Box.Y0 + 260}
	guess := func(box vision.Box) vision.Person {
		return vision.Person{Detection: vision.Detection{Score: .5, Box: box}, Pose: &vision.Pose{}}
	}
	weak := one
	weak.Pose = new(*one.Pose)
	for k := range weak.Pose {
		weak.Pose[k].Score = .3
	}
	candidate, withFace := guess(inside), guess(one.Box.Moved(300, 0))
	candidate.Candidate = true
	withFace.Box.Y1 = withFace.Box.Y0 + 60
	face := vision.Face{Score: .9, Box: vision.Box{X0: withFace.Box.X0 + 15, Y0: withFace.Box.Y0 + 5,
		X1: withFace.Box.X1 - 15, Y1: withFace.Box.Y0 + 45}}
	clear := guess(inside)
	clear.Pose = one.Pose
	for name, tt := range map[string]struct {
		people []vision.Person
		faces  []vision.Face
		opts   mask.GeometryOptions
		want   []int
	}{
		"within someone":              {[]vision.Person{one, guess(inside)}, nil, mask.GeometryOptions{}, []int{1}},
		"in any order":                {[]vision.Person{guess(inside), one}, nil, mask.GeometryOptions{}, []int{0}},
		"someone with a head":         {[]vision.Person{one, other}, nil, mask.GeometryOptions{}, nil},
		"a candidate":                 {[]vision.Person{one, candidate}, nil, mask.GeometryOptions{}, nil},
		"with a clear pose":           {[]vision.Person{one, clear}, nil, mask.GeometryOptions{}, nil},
		"beside someone":              {[]vision.Person{one, guess(inside.Moved(60, 0))}, nil, mask.GeometryOptions{}, nil},
		"nearly as large":             {[]vision.Person{one, guess(one.Box.Grown(-.2))}, nil, mask.GeometryOptions{}, nil},
		"around someone":              {[]vision.Person{one, guess(one.Box.Grown(.1))}, nil, mask.GeometryOptions{}, nil},
		"within someone found weakly": {[]vision.Person{weak, guess(inside)}, nil, mask.GeometryOptions{}, nil},
		"within a guess":              {[]vision.Person{guess(one.Box), guess(inside)}, nil, mask.GeometryOptions{}, nil},
		"with a face of their own":    {[]vision.Person{one, withFace}, []vision.Face{face}, mask.GeometryOptions{}, nil},
		"within someone with a face": {
			[]vision.Person{withFace, guess(withFace.Box.Grown(-.3).Moved(0, 15))}, []vision.Face{face},
			mask.GeometryOptions{}, []int{1}},
		"the whole person in doubt": {
			[]vision.Person{one, guess(inside)}, nil, mask.GeometryOptions{OnUncertain: mask.WholePerson}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := Parts(Observation{People: tt.people, Faces: tt.faces, Width: width, Height: height}, tt.opts)
			assert.Equal(t, tt.want, got)
		})
	}
}
