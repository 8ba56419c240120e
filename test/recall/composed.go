// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/otelcol-anonymizer/otelcol-anonymizer/test/recall/scene"

// headFrom is the share of a head that must be visible for it to count: with less, no one can tell that it is a head.
// From faceFrom on, a face that is visible in the picture counts as visible.
const (
	headFrom = 0.1
	faceFrom = 0.25
)

// composed annotates the clip of a scene with the heads in its pictures. Of the frames in which every picture shows an
// annotated frame of its source, every s.Every-th one counts.
func composed(s scene.Scene, bySource map[string]annotation) annotation {
	a := annotation{Clip: s.Clip, Category: s.Category}
	complete := 0
	for n := range s.Frames {
		heads, ok := headsAt(s, n, bySource)
		if !ok {
			continue
		}
		if complete%s.Every == 0 {
			a.Frames = append(a.Frames, annotatedFrame{Frame: n, Half: s.Half, Heads: heads})
		}
		complete++
	}
	return a
}

// headsAt returns the heads in a frame of a scene; ok is false if some picture in it is not annotated.
func headsAt(s scene.Scene, n int, bySource map[string]annotation) (heads []head, ok bool) {
	for i, p := range s.Pictures {
		source, annotated := bySource[p.From]
		if !p.Visible(n) || !annotated { // sources without annotations show no one
			continue
		}
		frame, found := source.frame(p.SourceFrame(n))
		if !found {
			return nil, false
		}
		for _, h := range frame.Heads {
			at, part := s.Place(i, n, scene.Box(h.Box))
			h.Box = box(at)
			if part < headFrom || h.Box.width() < 2 || h.Box.height() < 2 {
				continue
			}
			h.FaceVisible = h.FaceVisible && part >= faceFrom
			h.Occluded = h.Occluded || part < 0.9
			heads = append(heads, h)
		}
	}
	return heads, true
}

func (a annotation) frame(n int) (annotatedFrame, bool) {
	for _, f := range a.Frames {
		if f.Frame == n {
			return f, true
		}
	}
	return annotatedFrame{}, false
}
