// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/recall/scene"
)

//go:embed annotations/*.yaml
var annotationFiles embed.FS

// annotation lists the heads in some frames of a clip, marked by eye or known from how the clip was composed.
type annotation struct {
	// Clip is a path in build/cache/footage.
	Clip string `yaml:"clip"`
	// Category is the kind of footage, a row of the tables.
	Category string           `yaml:"category"`
	Frames   []annotatedFrame `yaml:"frames"`
}

// annotatedFrame lists all heads of a frame.
type annotatedFrame struct {
	// Frame counts from 0.
	Frame int `yaml:"frame"`
	// Half is tuned (the default), or held out: evaluated only after tuning.
	Half  string `yaml:"half"`
	Heads []head `yaml:"heads"`
}

// categories are the kinds of footage. The first four existed first, and were tuned for first.
var categories = []string{"street", "talk", "desk", "stills", "far", "4k", "crowd", "dark", "pan", "time lapse",
	"single frame", "turned", "close-up", "blur", "crossing", "entering late"}

// picturesOnly is the category of a clip that is not measured itself, but whose pictures scenes show.
const picturesOnly = "pictures"

// head is one head in one frame.
type head struct {
	// Box extends from the top of hair or hat to the chin (from behind: to the nape), and from the left to the right
	// edge of the head. If the head is cut off or partly hidden, it contains the visible part.
	Box box `yaml:"box"`
	// ID names a distinct head; copies of it, and the same person at another time, share the name.
	ID string `yaml:"id"`
	// View is frontal, profile or away.
	View string `yaml:"view"`
	// FaceVisible says that some facial feature is visible: an eye, the nose, the mouth, the outline of a cheek.
	FaceVisible bool `yaml:"face_visible"`
	// Occluded says that something hides part of the head.
	Occluded bool `yaml:"occluded"`
}

// box is left, top, right, bottom in pixels, from the top left corner of the frame; pixel x covers x to x+1.
type box [4]float64

func (b box) width() float64  { return b[2] - b[0] }
func (b box) height() float64 { return b[3] - b[1] }

// grown returns the box with a fraction of its width added on both sides, and fractions of its height above and below.
func (b box) grown(sides, above, below float64) box {
	w, h := b.width(), b.height()
	return box{b[0] - sides*w, b[1] - above*h, b[2] + sides*w, b[3] + below*h}
}

func (b box) intersects(other box) bool {
	return b[0] < other[2] && other[0] < b[2] && b[1] < other[3] && other[1] < b[3]
}

// readAnnotations reads and validates all annotations, in order of file name, and composes the annotations of the
// scenes.
func readAnnotations() ([]annotation, error) {
	names, err := fs.Glob(annotationFiles, "annotations/*.yaml")
	if err != nil {
		return nil, err
	}
	byName := map[string]annotation{}
	var annotations []annotation
	for _, name := range names {
		a, err := readAnnotation(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		byName[strings.TrimSuffix(path.Base(name), ".yaml")] = a
		if a.Category != picturesOnly {
			annotations = append(annotations, a)
		}
	}
	scenes, err := scene.Read()
	if err != nil {
		return nil, err
	}
	for _, s := range scenes {
		a := composed(s, byName)
		if err := errors.Join(a.validate(), a.validateCategory()); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Clip, err)
		}
		annotations = append(annotations, a)
	}
	return annotations, nil
}

func readAnnotation(name string) (annotation, error) {
	var a annotation
	file, err := annotationFiles.Open(name)
	if err != nil {
		return a, err
	}
	defer file.Close()
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	if err := decoder.Decode(&a); err != nil {
		return a, err
	}
	base := strings.TrimSuffix(path.Base(name), ".yaml")
	for i := range a.Frames {
		frame := &a.Frames[i]
		frame.Half = cmp.Or(frame.Half, "tuned")
		for k := range frame.Heads {
			id := &frame.Heads[k].ID
			*id = cmp.Or(*id, fmt.Sprintf("%d.%d", frame.Frame, k))
			*id = base + " " + *id
		}
	}
	if a.Category == picturesOnly {
		return a, a.validate()
	}
	return a, errors.Join(a.validate(), a.validateCategory())
}

func (a annotation) validateCategory() error {
	if !slices.Contains(categories, a.Category) {
		return fmt.Errorf("category %q is not one of %q", a.Category, categories)
	}
	return nil
}

func (a annotation) validate() error {
	var errs []error
	last := -1
	for _, frame := range a.Frames {
		if frame.Frame <= last {
			errs = append(errs, fmt.Errorf("frame %d: frames must ascend", frame.Frame))
		}
		last = frame.Frame
		if !slices.Contains([]string{"", "tuned", "held out"}, frame.Half) {
			errs = append(errs, fmt.Errorf("frame %d: half %q is not tuned or held out", frame.Frame, frame.Half))
		}
		for _, h := range frame.Heads {
			if h.Box.width() < 2 || h.Box.height() < 2 || h.Box[0] < 0 || h.Box[1] < 0 {
				errs = append(errs, fmt.Errorf("frame %d: box %v is not left, top, right, bottom", frame.Frame, h.Box))
			}
			if !slices.Contains([]string{"frontal", "profile", "away"}, h.View) {
				errs = append(errs, fmt.Errorf("frame %d: view %q is not frontal, profile or away", frame.Frame,
					h.View))
			}
		}
	}
	if a.Clip == "" {
		errs = append(errs, errors.New("clip is missing"))
	}
	return errors.Join(errs...)
}

// smallHead is the height in pixels below which a head counts as small.
const smallHead = 12

// groups returns the rows of the table that head i counts in. Small, edge and crowd follow from the boxes: an edge head
// is within 2 pixels of the frame's edge; the box of a crowd head, grown by its own size on all sides, intersects
// another head's box.
func (f annotatedFrame) groups(i, width, height int) []string {
	h := f.Heads[i]
	groups := []string{"all heads"}
	if h.FaceVisible {
		groups = append(groups, "face visible")
	}
	groups = append(groups, h.View)
	if h.Box.height() < smallHead {
		groups = append(groups, "small")
	}
	if h.Box[0] <= 2 || h.Box[1] <= 2 || h.Box[2] >= float64(width-2) || h.Box[3] >= float64(height-2) {
		groups = append(groups, "edge")
	}
	if h.Occluded {
		groups = append(groups, "occluded")
	}
	for j, other := range f.Heads {
		if j != i && h.Box.grown(1, 1, 1).intersects(other.Box) {
			groups = append(groups, "crowd")
			break
		}
	}
	return groups
}

// groupNames are all groups in the order of the table.
var groupNames = []string{"all heads", "face visible", "frontal", "profile", "away", "small", "edge", "occluded",
	"crowd"}
