// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"fmt"
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Rational is a fraction, the form in which containers state time bases and frame rates.
type Rational struct{ Num, Den int64 }

// Float returns the fraction's value, 0 if the denominator is 0.
func (r Rational) Float() float64 {
	if r.Den == 0 {
		return 0
	}
	return float64(r.Num) / float64(r.Den)
}

// nanosecond is the unit of time.Duration.
var nanosecond = Rational{1, int64(time.Second)}

// timeOf converts a time in the given unit to a duration.
func timeOf(pts int64, unit Rational) time.Duration {
	return time.Duration(rescale(pts, unit, nanosecond))
}

// rescale converts a time between units. Like ffmpeg, it rounds to the nearest, and halves away from zero. Results that
// overflow are clamped.
func rescale(pts int64, from, to Rational) int64 {
	if from == to {
		return pts
	}
	size := uint64(pts)
	if pts < 0 {
		size = -size
	}
	den := uint64(from.Den) * uint64(to.Num)
	hi, lo := bits.Mul64(size, uint64(from.Num)*uint64(to.Den))
	lo, carry := bits.Add64(lo, den/2, 0)
	hi += carry
	scaled := int64(math.MaxInt64)
	if hi < den {
		if q, _ := bits.Div64(hi, lo, den); q < math.MaxInt64 {
			scaled = int64(q)
		}
	}
	if pts < 0 {
		return -scaled
	}
	return scaled
}

// PixelFormat describes planar YUV, or gray if it has no chroma. Samples of more than 8 bits take two bytes,
// little-endian, with the value in the low bits.
type PixelFormat struct {
	// Name is ffmpeg's name for the format, for example yuv420p or yuv420p10le.
	Name string
	// Depth is the number of bits in a sample, 8 to 16.
	Depth int
	// ChromaShiftX and ChromaShiftY are log2 of the chroma subsampling: 1 and 1 for 4:2:0.
	ChromaShiftX, ChromaShiftY int
	// Planes is 3 for YUV and 1 for gray, without alpha.
	Planes int
	// Alpha means that an opacity plane follows. It ranges from 0 to the largest value, whatever the range of the others.
	Alpha bool
}

// AllPlanes returns the number of planes including alpha, which comes last.
func (f PixelFormat) AllPlanes() int {
	if f.Alpha {
		return f.Planes + 1
	}
	return f.Planes
}

// BytesPerSample returns 1 for 8 bits and 2 for more.
func (f PixelFormat) BytesPerSample() int { return (f.Depth + 7) / 8 }

// IsChroma reports whether plane i is subsampled by the shifts.
func (f PixelFormat) IsChroma(i int) bool { return i > 0 && i < f.Planes }

// PlaneSize returns the width and height in samples of plane i of a frame of width x height pixels. Chroma sizes are
// rounded up.
func (f PixelFormat) PlaneSize(i, width, height int) (int, int) {
	if !f.IsChroma(i) {
		return width, height
	}
	return (width + 1<<f.ChromaShiftX - 1) >> f.ChromaShiftX, (height + 1<<f.ChromaShiftY - 1) >> f.ChromaShiftY
}

// FrameBytes returns the length in bytes of all planes of a frame of width x height pixels.
func (f PixelFormat) FrameBytes(width, height int) int {
	n := 0
	for i := range f.AllPlanes() {
		w, h := f.PlaneSize(i, width, height)
		n += w * h * f.BytesPerSample()
	}
	return n
}

// Plane is one component of a frame. Its rows have no padding: the stride is Width samples.
type Plane struct {
	Data          []byte
	Width, Height int
}

// Frame is one image, in display orientation, owned by whoever received it last.
type Frame struct {
	// Index counts the frames of the video from 0, in presentation order.
	Index int
	// PTS is the presentation time in units of the stream's time base.
	PTS int64
	// Time is PTS as a duration since the stream's zero.
	Time time.Duration
	// Repairs counts the repairs that gave this frame its time.
	Repairs Repairs
	// Width and Height are in pixels.
	Width, Height int
	Format        PixelFormat
	// FullRange means that black is 0 and white the largest value, rather than 16 and 235 (x 2^(Depth-8)).
	FullRange bool
	// BT601 means that the colors follow ITU-R BT.601 whatever the height, as in pictures.
	BT601 bool
	// Planes are Y, then U, V and alpha if the format has them.
	Planes [4]Plane

	buffer   []byte // headRoom spare bytes, then the planes
	free     func(*Frame)
	released atomic.Bool
}

// headRoom is the spare memory in bytes before a frame's planes. It holds the header that the encoder reads before each
// frame, so that one call writes both. It is a cache line, which keeps the planes aligned.
const headRoom = 64

// newFrame returns a zeroed frame in memory outside the Go heap. It fails with ErrUnsupported if the size is not
// positive, and with ErrTool if there is no memory.
func newFrame(format PixelFormat, width, height int) (*Frame, error) {
	if width < 1 || height < 1 {
		return nil, fmt.Errorf("frame of %d x %d pixels: %w", width, height, ErrUnsupported)
	}
	buffer, err := mapMemory(headRoom + format.FrameBytes(width, height))
	if err != nil {
		return nil, fmt.Errorf("memory for a frame of %d x %d pixels: %w: %w", width, height, ErrTool, err)
	}
	f := &Frame{Width: width, Height: height, Format: format, buffer: buffer}
	rest := f.buffer[headRoom:]
	for i := range format.AllPlanes() {
		w, h := format.PlaneSize(i, width, height)
		n := w * h * format.BytesPerSample()
		f.Planes[i] = Plane{Data: rest[:n:n], Width: w, Height: h}
		rest = rest[n:]
	}
	return f, nil
}

// Release returns the frame's memory to its reader for reuse. The frame must not be used afterwards.
func (f *Frame) Release() {
	if f.free != nil && f.released.CompareAndSwap(false, true) {
		f.free(f)
	}
}
