// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"fmt"
	"image"

	"gocv.io/x/gocv"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// sampler turns a region of a frame into a small interleaved 8-bit RGB image for a model. It scales each plane
// separately and converts only the small result, which costs a fraction of converting the frame. A sampler serves one
// goroutine at a time. Its memory lies outside Go's heap; close frees it.
type sampler struct {
	halves [2]gocv.Mat // intermediate sizes on the way to a much smaller one, used in turn
	planes [3]gocv.Mat // scaled, in the frame's depth
	bytes  [3]gocv.Mat // the same in 8 bits, where the frame is deeper
}

// spareSamplers holds samplers for reuse. A sync.Pool would not do: each garbage collection drops what it holds, and
// memory outside Go's heap would never be freed.
var spareSamplers = make(chan *sampler, 16)

// borrowSampler returns a spare sampler or a new one. Pass it to returnSampler afterwards.
func borrowSampler() *sampler {
	select {
	case s := <-spareSamplers:
		return s
	default:
		return newSampler()
	}
}

func returnSampler(s *sampler) {
	select {
	case spareSamplers <- s:
	default:
		s.close()
	}
}

func newSampler() *sampler {
	s := &sampler{halves: [2]gocv.Mat{gocv.NewMat(), gocv.NewMat()}}
	for i := range s.planes {
		s.planes[i], s.bytes[i] = gocv.NewMat(), gocv.NewMat()
	}
	return s
}

func (s *sampler) close() {
	for _, mats := range [][]gocv.Mat{s.halves[:], s.planes[:], s.bytes[:]} {
		for i := range mats {
			_ = mats[i].Close()
		}
	}
}

// sampleImage calls sample on a borrowed sampler.
func sampleImage(frame *media.Frame, region image.Rectangle, dst []uint8, width, height int) error {
	s := borrowSampler()
	defer returnSampler(s)
	return s.sample(frame, region, dst, width, height)
}

// sample fills dst, height x width x 3 bytes of RGB, with the region of the frame, scaled to that size without keeping
// its aspect ratio. The region may reach beyond the frame; what lies outside becomes black.
func (s *sampler) sample(frame *media.Frame, region image.Rectangle, dst []uint8, width, height int) error {
	if region.Empty() || len(dst) != width*height*3 {
		return fmt.Errorf("sample %v of a %dx%d frame into %d bytes for %dx%d", region, frame.Width, frame.Height,
			len(dst), width, height)
	}
	visible := region.Intersect(image.Rect(0, 0, frame.Width, frame.Height))
	target := image.Rectangle{
		Min: project(visible.Min, region, width, height),
		Max: project(visible.Max, region, width, height),
	}
	if visible.Empty() || target.Empty() {
		clear(dst)
		return nil
	}
	if target != image.Rect(0, 0, width, height) {
		clear(dst)
	}
	var planes [3][]uint8
	for i := range frame.Format.Planes {
		var err error
		if planes[i], err = s.scale(frame, i, visible, target.Size()); err != nil {
			return err
		}
	}
	convert(dst, width, target, planes, frame)
	return nil
}

// project maps a point of the frame to the image that the region is scaled to, rounded to whole pixels.
func project(p image.Point, region image.Rectangle, width, height int) image.Point {
	return image.Point{
		X: ((p.X-region.Min.X)*width + region.Dx()/2) / region.Dx(),
		Y: ((p.Y-region.Min.Y)*height + region.Dy()/2) / region.Dy(),
	}
}

// scale resizes the visible part of a plane and returns its bytes, valid until the sampler's next use.
func (s *sampler) scale(frame *media.Frame, index int, visible image.Rectangle, size image.Point) ([]uint8, error) {
	plane := frame.Planes[index]
	part := visible
	if index > 0 {
		part.Min.X >>= frame.Format.ChromaShiftX
		part.Min.Y >>= frame.Format.ChromaShiftY
		part.Max.X = min(plane.Width, max(part.Max.X>>frame.Format.ChromaShiftX, part.Min.X+1))
		part.Max.Y = min(plane.Height, max(part.Max.Y>>frame.Format.ChromaShiftY, part.Min.Y+1))
	}
	matType := gocv.MatTypeCV8U
	if frame.Format.BytesPerSample() == 2 {
		matType = gocv.MatTypeCV16U
	}
	whole, err := gocv.NewMatFromBytes(plane.Height, plane.Width, matType, plane.Data)
	if err != nil {
		return nil, err
	}
	defer whole.Close()
	if err := s.resize(&whole, part, &s.planes[index], size); err != nil {
		return nil, err
	}
	if frame.Format.Depth == 8 {
		return s.planes[index].DataPtrUint8()
	}
	scale := 1 / float32(int(1)<<(frame.Format.Depth-8))
	if err := s.planes[index].ConvertToWithParams(&s.bytes[index], gocv.MatTypeCV8U, scale, 0); err != nil {
		return nil, err
	}
	return s.bytes[index].DataPtrUint8()
}

// resize scales a part of src to the size. It halves the part as often as possible first: OpenCV averages by factors of
// two about ten times as fast as by any other.
func (s *sampler) resize(src *gocv.Mat, part image.Rectangle, dst *gocv.Mat, size image.Point) error {
	from := src.Region(part)
	defer func() { _ = from.Close() }()
	for turn := 0; from.Cols() >= 2*size.X && from.Rows() >= 2*size.Y; turn = 1 - turn {
		half := image.Pt(from.Cols()/2, from.Rows()/2)
		even := from.Region(image.Rect(0, 0, 2*half.X, 2*half.Y))
		err := gocv.Resize(even, &s.halves[turn], half, 0, 0, gocv.InterpolationArea)
		_, _ = even.Close(), from.Close()
		from = s.halves[turn].Region(image.Rectangle{Max: half})
		if err != nil {
			return err
		}
	}
	interpolation := gocv.InterpolationArea
	if size.X >= from.Cols() || size.Y >= from.Rows() {
		interpolation = gocv.InterpolationLinear
	}
	return gocv.Resize(from, dst, size, 0, 0, interpolation)
}

// conversion holds what each value of Y, U and V contributes to red, green and blue, in 1/1024.
type conversion struct{ y, rv, gu, gv, bu [256]int32 }

// conversions are the conversions of ITU-R BT.601 and BT.709, each for limited and full range.
var conversions = func() (c [2][2]conversion) {
	for matrix, k := range [2]struct{ red, blue float64 }{{0.299, 0.114}, {0.2126, 0.0722}} {
		for full := range 2 {
			black, luma, chroma := 16.0, 255.0/219, 255.0/224
			if full == 1 {
				black, luma, chroma = 0, 1, 1
			}
			green := 1 - k.red - k.blue
			t := &c[matrix][full]
			for v := range 256 {
				t.y[v] = int32((float64(v)-black)*luma*1024) + 512
				d := (float64(v) - 128) * chroma * 1024
				t.rv[v] = int32(d * 2 * (1 - k.red))
				t.bu[v] = int32(d * 2 * (1 - k.blue))
				t.gv[v] = int32(-d * 2 * (1 - k.red) * k.red / green)
				t.gu[v] = int32(-d * 2 * (1 - k.blue) * k.blue / green)
			}
		}
	}
	return c
}()

// convert writes planes of target's size, as RGB, into the target part of dst. The matrix is BT.601 up to 576 lines and
// BT.709 above, as players assume for streams that do not specify it, unless the frame says BT.601; a model does not
// notice the difference.
func convert(dst []uint8, width int, target image.Rectangle, planes [3][]uint8, frame *media.Frame) {
	matrix, full := 1, 0
	if frame.Height <= 576 || frame.BT601 {
		matrix = 0
	}
	if frame.FullRange {
		full = 1
	}
	t := &conversions[matrix][full]
	w := target.Dx()
	for row := range target.Dy() {
		out := dst[((target.Min.Y+row)*width+target.Min.X)*3:][:w*3]
		luma := planes[0][row*w:][:w]
		if planes[1] == nil {
			for x, v := range luma {
				gray := clamp(t.y[v])
				out[x*3], out[x*3+1], out[x*3+2] = gray, gray, gray
			}
			continue
		}
		blue, red := planes[1][row*w:][:w], planes[2][row*w:][:w]
		for x, v := range luma {
			y, u, v := t.y[v], blue[x], red[x]
			pixel := out[x*3:][:3]
			pixel[0] = clamp(y + t.rv[v])
			pixel[1] = clamp(y + t.gu[u] + t.gv[v])
			pixel[2] = clamp(y + t.bu[u])
		}
	}
}

// clamp converts 1/1024 steps to a byte.
func clamp(v int32) uint8 {
	v >>= 10
	if uint32(v) > 255 {
		return uint8(^(v >> 31))
	}
	return uint8(v)
}
