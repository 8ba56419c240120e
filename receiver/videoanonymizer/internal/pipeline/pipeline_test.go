// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	width, height = 320, 180
	gray          = 120
)

// clip is a source of frames with light stripes on gray, which turn from vertical to horizontal at frame cutAt.
type clip struct {
	frames, cutAt int
	rate          int   // frames/s, 30 by default
	fail          error // returned instead of io.EOF
	next          int
	inFlight, max atomic.Int64
}

func (c *clip) Next() (*media.Frame, error) {
	if c.next == c.frames {
		if c.fail != nil {
			return nil, c.fail
		}
		return nil, io.EOF
	}
	f := newFrame(c.next, c.cutAt > 0 && c.next >= c.cutAt)
	f.Time = time.Duration(c.next) * time.Second / time.Duration(cmp.Or(c.rate, 30))
	c.next++
	c.max.Store(max(c.max.Load(), c.inFlight.Add(1)))
	return f, nil
}

func newFrame(index int, level bool) *media.Frame {
	f := &media.Frame{Index: index, PTS: int64(index), Width: width, Height: height,
		Format: media.PixelFormat{Name: "yuv420p", Depth: 8, ChromaShiftX: 1, ChromaShiftY: 1, Planes: 3}}
	f.Planes[0] = plane(width, height, gray)
	for i := range f.Planes[0].Data {
		across := i % width
		if level {
			across = i / width
		}
		if across/20%2 == 1 {
			f.Planes[0].Data[i] = 200
		}
	}
	f.Planes[1] = plane(width/2, height/2, 128)
	f.Planes[2] = plane(width/2, height/2, 128)
	return f
}

func plane(w, h int, value byte) media.Plane {
	p := media.Plane{Data: make([]byte, w*h), Width: w, Height: h}
	for i := range p.Data {
		p.Data[i] = value
	}
	return p
}

// sink keeps the records in order, and for each frame the luma in the middle of the head and in a corner.
type sink struct {
	source         *clip
	indexes        []int
	middle, corner []byte
	records        []record.Frame
	summary        record.Summary
	write          func(*media.Frame) error
}

func (s *sink) Write(f *media.Frame, rec *record.Frame) error {
	start := time.Now()
	if s.write != nil {
		if err := s.write(f); err != nil {
			return err
		}
	}
	rec.Encoded(start)
	s.records = append(s.records, *rec)
	s.summary.Count(rec)
	s.indexes = append(s.indexes, f.Index)
	s.middle = append(s.middle, f.Planes[0].Data[60*width+160])
	s.corner = append(s.corner, f.Planes[0].Data[0])
	s.source.inFlight.Add(-1)
	return nil
}

// detector finds one person in the middle of every frame, with the head at about (160, 60).
type detector struct {
	mu   sync.Mutex
	seen map[int]bool
	fail func(index int) error
}

func (d *detector) Detect(ctx context.Context, f *media.Frame) ([]vision.Detection, vision.Steps, error) {
	d.mu.Lock()
	d.seen[f.Index] = true
	d.mu.Unlock()
	if d.fail != nil {
		if err := d.fail(f.Index); err != nil {
			return nil, vision.Steps{}, err
		}
	}
	return []vision.Detection{{Box: vision.Box{X0: 130, Y0: 40, X1: 190, Y1: 170}, Score: .9}}, vision.Steps{}, nil
}

func options(t testing.TB, d vision.Detector) Options {
	painter := mask.NewPainter(mask.Options{Shape: mask.Ellipse, Fill: mask.Solid, Scale: 1})
	return Options{Quick: Look{Detector: d}, DetectEvery: 3, Workers: 2, FrameMemory: 20 * width * height * 3 / 2,
		Painter: painter}
}

func TestRunMasksEveryFrame(t *testing.T) {
	tests := map[string]struct {
		frames, cutAt, rate int
		analyzed            []int
	}{
		"one frame":                    {frames: 1, analyzed: []int{0}},
		"last frame analyzed":          {frames: 5, analyzed: []int{0, 3, 4}},
		"longer than the window":       {frames: 61, analyzed: every(3, 61)},
		"both sides of a cut analyzed": {frames: 12, cutAt: 5, analyzed: []int{0, 3, 4, 5, 6, 9, 11}},
		"low frame rate":               {frames: 7, rate: 12, analyzed: []int{0, 2, 3, 5, 6}},
		"a cut at a frame of its own":  {frames: 8, cutAt: 6, analyzed: []int{0, 3, 5, 6, 7}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			source := &clip{frames: tt.frames, cutAt: tt.cutAt, rate: tt.rate}
			out := &sink{source: source}
			d := &detector{seen: map[int]bool{}}
			opts := options(t, d)
			require.NoError(t, Run(t.Context(), source, out, opts))
			assert.GreaterOrEqual(t, out.summary.Masks, tt.frames)
			out.summary.Masks = 0 // near a cut, a head may be covered twice
			want := record.Summary{Frames: tt.frames, Analyzed: len(tt.analyzed), MaxPeople: 1}
			want.Uncertain = len(tt.analyzed) // only the box of the person is known
			assert.Equal(t, want, out.summary)
			assert.Equal(t, every(1, tt.frames), out.indexes)
			assert.Len(t, d.seen, len(tt.analyzed))
			for _, i := range tt.analyzed {
				assert.True(t, d.seen[i], "frame %d is analyzed", i)
			}
			require.Len(t, out.records, tt.frames)
			for i, r := range out.records {
				assert.EqualValues(t, 16, out.middle[i], "the head is black in frame %d", i)
				assert.NotEqualValues(t, 16, out.corner[i], "the corner is untouched in frame %d", i)
				assert.Equal(t, i, r.Index)
				assert.Equal(t, 1, r.People)
				assert.Equal(t, d.seen[i], r.Analyzed)
				assert.False(t, r.Start.After(r.Decode.End) || r.Decode.End.After(r.Visualization.Start) ||
					r.Visualization.End.After(r.Encode.Start) || r.Encode.End.After(r.End), "stages follow one another")
			}
			assert.LessOrEqual(t, source.max.Load(), int64(20+10), "frames held at once")
		})
	}
}

func every(n, end int) (out []int) {
	for i := 0; i < end; i += n {
		out = append(out, i)
	}
	return out
}

func TestRunMasksUnanalyzableFramesWhole(t *testing.T) {
	broken := errors.New("session broke")
	tests := map[string]func(index int) error{
		"error": func(i int) error {
			if i == 6 {
				return broken
			}
			return nil
		},
		"panic": func(i int) error {
			if i == 6 {
				panic("index out of range")
			}
			return nil
		},
	}
	for name, fail := range tests {
		t.Run(name, func(t *testing.T) {
			source := &clip{frames: 13}
			out := &sink{source: source}
			opts := options(t, &detector{seen: map[int]bool{}, fail: fail})
			require.NoError(t, Run(t.Context(), source, out, opts))
			var failed []int
			for _, r := range out.records {
				if r.Err != nil {
					failed = append(failed, r.Index)
				}
			}
			assert.Equal(t, []int{6}, failed)
			assert.GreaterOrEqual(t, out.summary.MaskedWhole, 1)
			assert.EqualValues(t, 16, out.corner[6], "frame 6 is masked whole")
			assert.EqualValues(t, gray, out.corner[0])
			assert.EqualValues(t, gray, out.corner[12])
		})
	}
}

// brokenFaces finds no faces, and fails on one frame.
type brokenFaces struct{ index int }

func (b brokenFaces) DetectFaces(_ context.Context, f *media.Frame) ([]vision.Face, vision.Steps, error) {
	if f.Index == b.index {
		return nil, vision.Steps{}, errors.New("session broke")
	}
	return nil, vision.Steps{}, nil
}

// TestRunMasksWholeWithoutFaces checks that a frame in which people were found, but face detection failed, does not
// count as analyzed.
func TestRunMasksWholeWithoutFaces(t *testing.T) {
	source := &clip{frames: 13}
	out := &sink{source: source}
	opts := options(t, &detector{seen: map[int]bool{}})
	opts.Quick.Faces = brokenFaces{index: 6}
	require.NoError(t, Run(t.Context(), source, out, opts))
	assert.GreaterOrEqual(t, out.summary.MaskedWhole, 1)
	assert.EqualValues(t, 16, out.corner[6], "frame 6 is masked whole")
	assert.EqualValues(t, gray, out.corner[0])
}

func TestRunStops(t *testing.T) {
	broken := errors.New("broken")
	t.Run("source fails", func(t *testing.T) {
		source := &clip{frames: 10, fail: broken}
		err := Run(t.Context(), source, &sink{source: source}, options(t, &detector{seen: map[int]bool{}}))
		require.ErrorIs(t, err, broken)
	})
	t.Run("source is empty", func(t *testing.T) {
		source := &clip{}
		err := Run(t.Context(), source, &sink{source: source}, options(t, &detector{seen: map[int]bool{}}))
		require.ErrorIs(t, err, media.ErrNotVideo)
	})
	t.Run("sink fails", func(t *testing.T) {
		source := &clip{frames: 1 << 30}
		out := &sink{source: source, write: func(f *media.Frame) error {
			if f.Index == 7 {
				return broken
			}
			return nil
		}}
		err := Run(t.Context(), source, out, options(t, &detector{seen: map[int]bool{}}))
		require.ErrorIs(t, err, broken)
		assert.Len(t, out.indexes, 7)
	})
	t.Run("context ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		source := &clip{frames: 1 << 30}
		out := &sink{source: source, write: func(f *media.Frame) error {
			if f.Index == 7 {
				cancel()
			}
			return nil
		}}
		err := Run(ctx, source, out, options(t, &detector{seen: map[int]bool{}}))
		require.ErrorIs(t, err, context.Canceled)
	})
}

// TestRunReleasesEveryFrame checks that a video that fails leaks no frame, because nothing else would free the memory.
func TestRunReleasesEveryFrame(t *testing.T) {
	const frameBytes, most = 1280 * 720 * 3 / 2, 100 << 20
	path := filepath.Join(t.TempDir(), "a.mkv")
	out, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25:d=2",
		"-c:v", "mjpeg", path).CombinedOutput()
	require.NoError(t, err, "%s", out)
	tools, err := media.FindTools("", "")
	require.NoError(t, err)
	info, err := tools.Probe(t.Context(), path, media.Limits{})
	require.NoError(t, err)
	before, held := dataMemory(t), 0
	for range 12 {
		source, err := tools.Open(t.Context(), info, media.ReadOptions{})
		require.NoError(t, err)
		broken := errors.New("broken")
		out := &sink{source: &clip{}, write: func(*media.Frame) error { return broken }}
		err = Run(t.Context(), source, out, options(t, &detector{seen: map[int]bool{}}))
		require.ErrorIs(t, err, broken)
		held += 20 // about the size of the window
		source.Close()
	}
	require.Greater(t, held*frameBytes, 3*most, "enough to notice if it were leaked")
	assert.Less(t, dataMemory(t)-before, most)
}

// dataMemory returns the size of this process's data memory (VmData), in bytes.
func dataMemory(t *testing.T) int {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	var kilobytes int
	_, rest, _ := strings.Cut(string(status), "VmData:")
	_, err = fmt.Sscan(rest, &kilobytes)
	require.NoError(t, err)
	return kilobytes << 10
}

// TestCountOrigins checks that every head is counted by its origin, including faces without a detected person.
func TestCountOrigins(t *testing.T) {
	var rec record.Frame
	for i, origin := range []mask.Origin{mask.OriginPose, mask.OriginFace, mask.OriginBox, mask.OriginInterpolated,
		mask.OriginHeld, mask.OriginScreen} {
		rec.Heads = append(rec.Heads, slices.Repeat([]mask.Head{{Origin: origin}}, i+1)...)
	}
	countOrigins(&rec)
	assert.Equal(t, record.MasksByOrigin{Pose: 1, Face: 2, Box: 3, Interpolated: 4, Held: 5, Screen: 6}, rec.MasksByOrigin)
	assert.Equal(t, 3, rec.Uncertain)
}
