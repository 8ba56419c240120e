// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package edits

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Video is the video to check operations against.
type Video struct {
	Frames int
	// Times are the times of the frames in seconds after the first one. With nil, times are not checked.
	Times []float64
	// Tracks reports whether a track has a mask in a range of frames. With nil, tracks are not checked.
	Tracks func(track, from, to int) (bool, error)
}

const (
	// farthest bounds positions and sizes, in pixels.
	farthest = 1e5
	// timeTolerance is how much the time of a keyframe may differ from that of its frame, in seconds: reports round to
	// milliseconds.
	timeTolerance = 0.0015
)

// Validate returns all errors in the operations from an index on.
func (d *Document) Validate(from int, v Video) error {
	if len(d.Operations) > MaxOperations {
		return fmt.Errorf("operations: there are %d, but at most %d are possible, including reverts",
			len(d.Operations), MaxOperations)
	}
	var errs []error
	for i := from; i < len(d.Operations); i++ {
		for _, err := range d.validate(i, &v) {
			errs = append(errs, fmt.Errorf("operations[%d]: %w", i-from, err))
		}
	}
	return errors.Join(errs...)
}

func (d *Document) validate(i int, v *Video) (errs []error) {
	o := &d.Operations[i]
	if o.ID != i+1 {
		errs = append(errs, fmt.Errorf("id: is %d, but this is operation %d: leave it out", o.ID, i+1))
	}
	if len(o.Note) > maxNote {
		errs = append(errs, fmt.Errorf("note: has %d bytes: write at most %d", len(o.Note), maxNote))
	}
	errs = append(errs, o.validateReason()...)
	errs = append(errs, o.foreign()...)
	switch o.Type {
	case Add:
		return append(errs, o.validateAdd(v)...)
	case Adjust:
		return append(append(append(errs, o.validateRange(v)...), o.validateTrack(v)...), o.validateAdjust()...)
	case Remove:
		return append(append(errs, o.validateRange(v)...), o.validateTrack(v)...)
	case WholeFrame:
		return append(errs, o.validateRange(v)...)
	case Revert, Confirm:
		return append(errs, d.validateOf(i)...)
	}
	return append(errs, fmt.Errorf("type: %q is not known: use one of add, adjust, remove, whole_frame, revert, confirm",
		o.Type))
}

// foreign returns an error for each field that the operation's type does not have.
func (o *Operation) foreign() (errs []error) {
	for _, f := range []struct {
		name string
		set  bool
		of   []Type
	}{
		{"shape", o.Shape != "", []Type{Add}},
		{"keyframes", o.Keyframes != nil, []Type{Add}},
		{"track", o.Track != 0, []Type{Adjust, Remove}},
		{"from", o.From != 0, []Type{Adjust, Remove, WholeFrame}},
		{"to", o.To != 0, []Type{Adjust, Remove, WholeFrame}},
		{"dx", o.DX != 0, []Type{Adjust}},
		{"dy", o.DY != 0, []Type{Adjust}},
		{"scale_rx", o.ScaleRX != 0, []Type{Adjust}},
		{"scale_ry", o.ScaleRY != 0, []Type{Adjust}},
		{"rotate", o.Rotate != 0, []Type{Adjust}},
		{"of", o.Of != 0, []Type{Revert, Confirm}},
		{"reason", o.Reason != "", []Type{Adjust, Remove, Revert}},
	} {
		if f.set && !slices.Contains(f.of, o.Type) {
			errs = append(errs, fmt.Errorf("%s: %s has none: leave it out", f.name, o.Type))
		}
	}
	return errs
}

func (o *Operation) validateReason() []error {
	switch {
	case o.Reason == "" && o.Type == Remove:
		return []error{fmt.Errorf("reason: is required, since this uncovers: use one of %s", strings.Join(Reasons, ", "))}
	case o.Reason != "" && !slices.Contains(Reasons, o.Reason):
		return []error{fmt.Errorf("reason: %q is not known: use one of %s", o.Reason, strings.Join(Reasons, ", "))}
	case o.Reason == ReasonOther && strings.TrimSpace(o.Note) == "":
		return []error{errors.New("note: is required with the reason other: say why")}
	}
	return nil
}

func (o *Operation) validateRange(v *Video) []error {
	if o.From < 0 || o.To > v.Frames || o.From >= o.To {
		return []error{fmt.Errorf("from, to: %d up to %d is not a range of the video's %d frames", o.From, o.To, v.Frames)}
	}
	return nil
}

func (o *Operation) validateTrack(v *Video) []error {
	if o.Track < 1 {
		return []error{fmt.Errorf("track: %d is not a track: write that of a mask in the report, from 1 on", o.Track)}
	}
	if v.Tracks == nil || o.From < 0 || o.From >= o.To {
		return nil
	}
	switch found, err := v.Tracks(o.Track, o.From, o.To); {
	case err != nil:
		return []error{err}
	case !found:
		return []error{fmt.Errorf("track: %d has no mask in these frames", o.Track)}
	}
	return nil
}

func (o *Operation) validateAdjust() (errs []error) {
	for _, f := range []struct {
		name string
		v    float64
		max  float64
	}{{"dx", o.DX, farthest}, {"dy", o.DY, farthest}, {"rotate", o.Rotate, 2 * math.Pi}} {
		if !(math.Abs(f.v) <= f.max) {
			errs = append(errs, fmt.Errorf("%s: %v is out of range: write at most %.4g", f.name, f.v, f.max))
		}
	}
	for _, f := range []struct {
		name string
		v    float64
	}{{"scale_rx", o.ScaleRX}, {"scale_ry", o.ScaleRY}} {
		if f.v != 0 && !(f.v >= 0.1 && f.v <= 10) {
			errs = append(errs, fmt.Errorf("%s: %v is out of range: write 0.1 to 10", f.name, f.v))
		}
	}
	if o.DX == 0 && o.DY == 0 && o.Rotate == 0 && o.scaleRX() == 1 && o.scaleRY() == 1 {
		errs = append(errs, errors.New("dx, dy, scale_rx, scale_ry, rotate: at least one has to change something"))
	}
	return errs
}

func (o *Operation) validateAdd(v *Video) (errs []error) {
	if o.Shape != Ellipse && o.Shape != Rectangle {
		errs = append(errs, fmt.Errorf("shape: %q is not known: use one of ellipse, rectangle", o.Shape))
	}
	if n := len(o.Keyframes); n == 0 || n > MaxKeyframes {
		return append(errs, fmt.Errorf("keyframes: there are %d: write 1 to %d", n, MaxKeyframes))
	}
	if o.Keyframes[0].Outside {
		errs = append(errs, errors.New("keyframes[0]: the first one cannot be outside"))
	}
	for i := range o.Keyframes {
		k := &o.Keyframes[i]
		if i > 0 && k.Frame <= o.Keyframes[i-1].Frame {
			errs = append(errs, fmt.Errorf("keyframes[%d]: frame %d is not after the previous one", i, k.Frame))
		}
		for _, err := range k.validate(v) {
			errs = append(errs, fmt.Errorf("keyframes[%d]: %w", i, err))
		}
	}
	return errs
}

func (k *Keyframe) validate(v *Video) (errs []error) {
	switch {
	case k.Frame < 0 || k.Frame >= v.Frames && !(k.Outside && k.Frame == v.Frames):
		errs = append(errs, fmt.Errorf("frame: %d is not one of the video's %d", k.Frame, v.Frames))
	case v.Times != nil && k.Frame < len(v.Times) && !(math.Abs(k.Time-v.Times[k.Frame]) <= timeTolerance):
		errs = append(errs, fmt.Errorf("time_s: %v is not the time of frame %d, which is %.3f", k.Time, k.Frame,
			v.Times[k.Frame]))
	}
	if k.Outside {
		return errs
	}
	if !(math.Abs(k.X) <= farthest && math.Abs(k.Y) <= farthest) {
		errs = append(errs, fmt.Errorf("x, y: %v, %v is too far away: write pixels of the frame", k.X, k.Y))
	}
	if !(k.RX >= 0.5 && k.RX <= farthest && k.RY >= 0.5 && k.RY <= farthest) {
		errs = append(errs, fmt.Errorf("rx, ry: %v, %v is not a size: write half the width and height in pixels, from 0.5 on",
			k.RX, k.RY))
	}
	if !(math.Abs(k.Angle) <= 100) {
		errs = append(errs, fmt.Errorf("angle: %v is out of range: write radians", k.Angle))
	}
	return errs
}

func (d *Document) validateOf(i int) []error {
	o := &d.Operations[i]
	if o.Of < 1 || o.Of > i {
		return []error{fmt.Errorf("of: there is no earlier operation %d", o.Of)}
	}
	target := &d.Operations[o.Of-1]
	switch {
	case target.Type == Confirm:
		return []error{fmt.Errorf("of: operation %d is a confirmation: revert what it confirms instead", o.Of)}
	case !d.Upto(i).Live().Has(o.Of):
		return []error{fmt.Errorf("of: operation %d is already reverted", o.Of)}
	case o.Type == Confirm && target.Reason == "":
		return []error{fmt.Errorf("of: operation %d uncovers nothing, so it needs no confirmation", o.Of)}
	case o.Type == Confirm && o.By != "" && o.By == target.By:
		return []error{fmt.Errorf("of: %s made operation %d: a second person has to confirm it", o.By, o.Of)}
	}
	return nil
}
