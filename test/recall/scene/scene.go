// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package scene composes clips from annotated pictures: far away, turned, dark, under a moving camera. The description
// of a scene determines both how ffmpeg makes the clip and where each head of a picture is in it, so the heads in a
// clip are known by construction.
package scene

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed scenes/*.yaml
var files embed.FS

// Source is a clip that scenes take pictures from.
type Source struct {
	// Clip is a path in build/cache/footage.
	Clip          string
	Width, Height int
}

// Sources are the clips by name. A clip of people has the name of a file in test/recall/annotations; an empty one shows
// no one.
var Sources = map[string]Source{
	"street":       {"source/vtest.avi", 768, 576},
	"empty street": {"empty-street.mp4", 768, 576},
	"stills":       {"stills.mp4", 640, 480},
	"groups":       {"groups.mp4", 960, 640},
}

// Scene is a clip composed of pictures on a canvas, seen by a camera.
type Scene struct {
	// Clip is a path in build/cache/footage: the file's name in scenes, which ends in -1 for the tuned half of the heads,
	// and in -2 for the held-out half.
	Clip string `yaml:"-"`
	// Half is tuned or held out.
	Half string `yaml:"-"`
	// Category is the row of the report that the clip's heads count in.
	Category string `yaml:"category"`
	// Size is the width and height of a frame, and Canvas of the area that the camera moves over; its default is Size. In
	// pixels, even.
	Size   [2]int `yaml:"size"`
	Canvas [2]int `yaml:"canvas"`
	// Rate is in frames per second.
	Rate   int `yaml:"rate"`
	Frames int `yaml:"frames"`
	// Camera is the path of the frame's upper left corner over the canvas, in straight lines between points.
	Camera []Point `yaml:"camera"`
	// Effect is an ffmpeg filter that moves nothing, such as noise.
	Effect string `yaml:"effect"`
	// Every is n if every n-th frame counts among those whose pictures are all annotated.
	Every int `yaml:"every"`
	// Pictures are painted in this order.
	Pictures []Picture `yaml:"pictures"`
}

// Point is the camera's position at a frame.
type Point struct {
	Frame int    `yaml:"frame"`
	At    [2]int `yaml:"at"`
}

// Picture is a part of a source, still or moving.
type Picture struct {
	// From is the name of a source.
	From string `yaml:"from"`
	// Frame is the first frame of the source to show, and Step how many frames further each frame of the clip goes; the
	// picture is a still if Step is 0.
	Frame int `yaml:"frame"`
	Step  int `yaml:"step"`
	// Crop is left, top, width, height of the part of the source that is shown; the default is all of it.
	Crop [4]int `yaml:"crop"`
	// Mirror swaps left and right.
	Mirror bool `yaml:"mirror"`
	// Turn is 0, 90, 180 or 270 degrees clockwise, after Mirror.
	Turn int `yaml:"turn"`
	// Size is the width and height on the canvas; the default is the size of the turned crop.
	Size [2]int `yaml:"size"`
	// At is the first position of the upper left corner on the canvas; Move is how far it moves with each frame. Even.
	At   [2]int `yaml:"at"`
	Move [2]int `yaml:"move"`
	// Shown has the first and last frame of the clip that show the picture; the default is all frames.
	Shown []int `yaml:"shown"`
}

// Read reads and validates all scenes, in order of file name.
func Read() ([]Scene, error) {
	names, err := fs.Glob(files, "scenes/*.yaml")
	if err != nil {
		return nil, err
	}
	var scenes []Scene
	for _, name := range names {
		s, err := read(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		scenes = append(scenes, s)
	}
	return scenes, nil
}

func read(name string) (Scene, error) {
	base := strings.TrimSuffix(path.Base(name), ".yaml")
	s := Scene{Clip: "recall/" + base + ".mp4", Every: 1}
	switch {
	case strings.HasSuffix(base, "-1"):
		s.Half = "tuned"
	case strings.HasSuffix(base, "-2"):
		s.Half = "held out"
	default:
		return s, errors.New("the name must end in -1 or -2")
	}
	file, err := files.Open(name)
	if err != nil {
		return s, err
	}
	defer file.Close()
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	if err := decoder.Decode(&s); err != nil {
		return s, err
	}
	if s.Canvas == [2]int{} {
		s.Canvas = s.Size
	}
	for i := range s.Pictures {
		s.Pictures[i].setDefaults(s.Frames)
	}
	return s, s.validate()
}

func (p *Picture) setDefaults(frames int) {
	source := Sources[p.From]
	if p.Crop == [4]int{} {
		p.Crop = [4]int{0, 0, source.Width, source.Height}
	}
	if p.Size == [2]int{} {
		p.Size = [2]int{p.Crop[2], p.Crop[3]}
		if p.Turn%180 != 0 {
			p.Size = [2]int{p.Crop[3], p.Crop[2]}
		}
	}
	if p.Shown == nil {
		p.Shown = []int{0, frames - 1}
	}
}

func (s Scene) validate() error {
	var errs []error
	if s.Frames < 1 || s.Rate < 1 || s.Every < 1 {
		errs = append(errs, errors.New("frames, rate and every must be at least 1"))
	}
	even := [][]int{s.Size[:], s.Canvas[:]}
	for _, p := range s.Camera {
		even = append(even, p.At[:])
	}
	for i, p := range s.Pictures {
		if _, ok := Sources[p.From]; !ok {
			errs = append(errs, fmt.Errorf("picture %d: unknown source %q", i, p.From))
		}
		if !slices.Contains([]int{0, 90, 180, 270}, p.Turn) {
			errs = append(errs, fmt.Errorf("picture %d: turn is %d, not 0, 90, 180 or 270", i, p.Turn))
		}
		if len(p.Shown) != 2 || p.Shown[0] < 0 || p.Shown[0] > p.Shown[1] || p.Shown[1] >= s.Frames {
			errs = append(errs, fmt.Errorf("picture %d: shown is %v, not two frames of the clip", i, p.Shown))
		}
		even = append(even, p.Crop[:], p.Size[:], p.At[:], p.Move[:])
	}
	for _, numbers := range even {
		if slices.ContainsFunc(numbers, func(n int) bool { return n%2 != 0 }) {
			errs = append(errs, fmt.Errorf("%v must be even, for the sake of chroma", numbers))
		}
	}
	return errors.Join(errs...)
}
