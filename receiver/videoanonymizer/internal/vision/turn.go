// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"bytes"
	"fmt"
	"strings"

	"gocv.io/x/gocv"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// rotations are OpenCV's rotations by clockwise quarter turns.
var rotations = map[int]gocv.RotateFlag{
	1: gocv.Rotate90Clockwise, 2: gocv.Rotate180Clockwise, 3: gocv.Rotate90CounterClockwise,
}

// Turned returns a copy of a frame, turned clockwise by quarter turns, or counterclockwise if negative. It is for
// models only: a 4:2:2 frame becomes 4:4:0, which no output has. The copy has its own memory and needs no release.
func Turned(frame *media.Frame, quarters int) (*media.Frame, error) {
	quarters &= 3
	turned := &media.Frame{Index: frame.Index, PTS: frame.PTS, Time: frame.Time, Width: frame.Width,
		Height: frame.Height, Format: frame.Format, FullRange: frame.FullRange, BT601: frame.BT601}
	if quarters%2 == 1 {
		turned.Width, turned.Height = frame.Height, frame.Width
		turned.Format = lying(frame.Format)
	}
	for i := range frame.Format.AllPlanes() {
		plane, err := turnedPlane(frame.Planes[i], frame.Format.BytesPerSample(), quarters)
		if err != nil {
			return nil, fmt.Errorf("turn plane %d of a frame: %w", i, err)
		}
		turned.Planes[i] = plane
	}
	return turned, nil
}

// lying returns the format of a frame turned by 90 degrees: horizontal subsampling becomes vertical, and vice versa.
func lying(f media.PixelFormat) media.PixelFormat {
	f.ChromaShiftX, f.ChromaShiftY = f.ChromaShiftY, f.ChromaShiftX
	f.Name = strings.NewReplacer("422", "440", "440", "422").Replace(f.Name)
	return f
}

func turnedPlane(plane media.Plane, bytesPerSample, quarters int) (media.Plane, error) {
	if quarters == 0 {
		return media.Plane{Data: bytes.Clone(plane.Data), Width: plane.Width, Height: plane.Height}, nil
	}
	matType := gocv.MatTypeCV8U
	if bytesPerSample == 2 {
		matType = gocv.MatTypeCV16U
	}
	turned := media.Plane{Data: make([]byte, len(plane.Data)), Width: plane.Width, Height: plane.Height}
	if quarters%2 == 1 {
		turned.Width, turned.Height = plane.Height, plane.Width
	}
	from, err := gocv.NewMatFromBytes(plane.Height, plane.Width, matType, plane.Data)
	if err != nil {
		return turned, err
	}
	defer from.Close()
	to, err := gocv.NewMatFromBytes(turned.Height, turned.Width, matType, turned.Data)
	if err != nil {
		return turned, err
	}
	defer to.Close()
	return turned, gocv.Rotate(from, &to, rotations[quarters])
}

// TurnBack converts what was found in a turned frame to pixels of the original frame.
type TurnBack struct {
	// Quarters is the number of quarter turns by which Turned turned the frame.
	Quarters int
	// Width and Height are the frame's size in pixels before it was turned.
	Width, Height int
}

// Faces returns copies of faces in pixels of the frame.
func (t TurnBack) Faces(faces []Face) []Face {
	back := make([]Face, len(faces))
	for i, f := range faces {
		f.Box = t.Box(f.Box)
		f.LeftEye, f.RightEye = t.keypoint(f.LeftEye), t.keypoint(f.RightEye)
		back[i] = f
	}
	return back
}

// Pose returns the pose in pixels of the frame.
func (t TurnBack) Pose(p Pose) Pose {
	for k := range p {
		p[k] = t.keypoint(p[k])
	}
	return p
}

// Box returns the box in pixels of the frame.
func (t TurnBack) Box(b Box) Box {
	x0, y0 := t.Point(b.X0, b.Y0)
	x1, y1 := t.Point(b.X1, b.Y1)
	return Box{X0: min(x0, x1), Y0: min(y0, y1), X1: max(x0, x1), Y1: max(y0, y1)}
}

func (t TurnBack) keypoint(k Keypoint) Keypoint {
	k.X, k.Y = t.Point(k.X, k.Y)
	return k
}

// Point returns a point in pixels of the frame.
func (t TurnBack) Point(x, y float32) (float32, float32) {
	switch t.Quarters & 3 {
	case 1:
		return y, float32(t.Height) - x
	case 2:
		return float32(t.Width) - x, float32(t.Height) - y
	case 3:
		return float32(t.Width) - y, x
	default:
		return x, y
	}
}
