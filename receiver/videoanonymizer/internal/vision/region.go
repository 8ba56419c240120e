// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"image"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// Region is a part of a frame that shows people who are small in the frame to a detector at their full size.
type Region struct {
	// Bounds are in pixels of the frame.
	Bounds image.Rectangle
	frame  *media.Frame
}

// RegionAround returns the part of the frame that shows a box, at least minSide pixels wide and high if the frame is.
// Its left and upper edges are where samples of all planes begin.
func RegionAround(frame *media.Frame, b Box, minSide int) Region {
	f := frame.Format
	x0, x1 := side(b.X0, b.X1, minSide, frame.Width, f.ChromaShiftX)
	y0, y1 := side(b.Y0, b.Y1, minSide, frame.Height, f.ChromaShiftY)
	return Region{Bounds: image.Rect(x0, y0, x1, y1), frame: frame}
}

func side(from, to float32, least, most int, shift int) (int, int) {
	if missing := float32(least) - (to - from); missing > 0 {
		from, to = from-missing/2, to+missing/2
	}
	length := min(int(to-from)+1, most)
	first := max(0, min(int(from), most-length))
	first &^= 1<<shift - 1
	return first, min(most, first+length)
}

// Frame returns a copy of the region, which needs no release.
func (r Region) Frame() *media.Frame {
	from := r.frame
	out := &media.Frame{Index: from.Index, PTS: from.PTS, Time: from.Time, Width: r.Bounds.Dx(), Height: r.Bounds.Dy(),
		Format: from.Format, FullRange: from.FullRange, BT601: from.BT601}
	size := from.Format.BytesPerSample()
	for i := range from.Format.AllPlanes() {
		plane := from.Planes[i]
		bounds := r.Bounds
		if i == 1 || i == 2 {
			x, y := from.Format.ChromaShiftX, from.Format.ChromaShiftY
			bounds = image.Rect(bounds.Min.X>>x, bounds.Min.Y>>y, (bounds.Max.X+1<<x-1)>>x, (bounds.Max.Y+1<<y-1)>>y)
		}
		data := make([]byte, 0, bounds.Dx()*bounds.Dy()*size)
		for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
			row := plane.Data[(y*plane.Width+bounds.Min.X)*size:]
			data = append(data, row[:bounds.Dx()*size]...)
		}
		out.Planes[i] = media.Plane{Data: data, Width: bounds.Dx(), Height: bounds.Dy()}
	}
	return out
}

// Detections converts detections in the region's copy to pixels of the frame, without those of which the region may
// show only a part.
func (r Region) Detections(people []Detection) []Detection {
	moved := make([]Detection, len(people))
	dx, dy := float32(r.Bounds.Min.X), float32(r.Bounds.Min.Y)
	for i, p := range people {
		p.Box, p.Pose = p.Box.Moved(dx, dy), p.Pose.placed(dx, dy, 1)
		moved[i] = p
	}
	view := view{Rectangle: r.Bounds}
	if whole := image.Pt(r.frame.Width, r.frame.Height); r.Bounds.Size() != whole {
		view.maxWidth, view.maxHeight = maxInTile*float32(whole.X), maxInTile*float32(whole.Y)
	}
	return dropPartial(moved, view, r.frame)
}

// Faces converts faces in the region's copy to pixels of the frame.
func (r Region) Faces(faces []Face) []Face {
	moved := make([]Face, len(faces))
	dx, dy := float32(r.Bounds.Min.X), float32(r.Bounds.Min.Y)
	for i, f := range faces {
		f.Box = f.Box.Moved(dx, dy)
		f.LeftEye.X, f.LeftEye.Y = f.LeftEye.X+dx, f.LeftEye.Y+dy
		f.RightEye.X, f.RightEye.Y = f.RightEye.X+dx, f.RightEye.Y+dy
		moved[i] = f
	}
	return moved
}
