// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
)

// TestSheetOfPictures draws the sheet of a lossless video from pictures taken while it was recorded, and from the
// video, and checks that both are identical, byte by byte.
func TestSheetOfPictures(t *testing.T) {
	for name, format := range map[string]string{
		"8 bit": "yuv420p", "10 bit": "yuv422p10le", "full range": "yuvj444p", "gray": "gray",
	} {
		t.Run(name, func(t *testing.T) {
			tools, video := colors(t, "-c:v", "ffv1", "-vf", "noise=alls=40:allf=t:all_seed=1", "-pix_fmt", format)
			recorder := pictured(t, tools, video, 12)
			moments := recorder.Weakest()
			require.Greater(t, len(moments), 12)
			for _, m := range moments[:12] {
				require.NotNil(t, m.picture, "%s in frame %d", m.Reason, m.Frame)
				require.Equal(t, m.Frame, m.picture.frame)
				if n := m.picture.negative; n != nil {
					require.LessOrEqual(t, len(n.buffer), 4*tileWidth*tileHeight, "large copies of frames are not kept")
				}
			}
			taken := filepath.Join(t.TempDir(), "taken.jpg")
			require.NoError(t, WriteSheet(t.Context(), media.Tools{}, "none", taken, moments, 12), "nothing is decoded")
			recorder.Forget()
			decoded := filepath.Join(t.TempDir(), "decoded.jpg")
			require.NoError(t, WriteSheet(t.Context(), tools, video, decoded, recorder.Weakest(), 12))
			assert.Equal(t, content(t, decoded), content(t, taken))
		})
	}
}

// TestPicturesAreBounded checks that only pictures that a contact sheet may show are kept.
func TestPicturesAreBounded(t *testing.T) {
	tools, video := colors(t, "-c:v", "ffv1")
	recorder := pictured(t, tools, video, 2)
	recorder.Weakest()
	for i, kept := range recorder.moments.kept {
		for rank, m := range kept {
			assert.Equal(t, rank < 2, m.picture != nil, "%s, rank %d", reasons[i], rank)
		}
	}
}

// TestForgetPicturesOfOpenRuns checks that a run that ends after its picture was discarded has none.
func TestForgetPicturesOfOpenRuns(t *testing.T) {
	recorder := frameRecord(t, frame(0, head(100, 20, .5, mask.OriginPose)))
	recorder.Picture(&media.Frame{Width: 1, Height: 1, Format: media.PixelFormat{Name: "gray", Depth: 8, Planes: 1},
		Planes: [4]media.Plane{{Data: []byte{1}, Width: 1, Height: 1}}}, 12)
	recorder.Forget()
	for _, m := range recorder.Weakest() {
		assert.Nil(t, m.picture)
	}
}

// TestPicturesOfNobody checks that, if nobody was found, the expected frames are not decoded again.
func TestPicturesOfNobody(t *testing.T) {
	tools, video := colors(t, "-c:v", "ffv1")
	info, err := tools.Probe(t.Context(), video, media.Limits{})
	require.NoError(t, err)
	for name, people := range map[string]int{"nobody": 0, "somebody": 1} {
		t.Run(name, func(t *testing.T) {
			r, err := tools.Open(t.Context(), info, media.ReadOptions{})
			require.NoError(t, err)
			defer r.Close()
			recorder := frameRecord(t)
			recorder.Expect([]int{12, 37, 62})
			for {
				f, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				rec := frame(f.Index)
				if f.Index == 40 {
					rec.People = people
				}
				require.NoError(t, recorder.Add(rec))
				recorder.Picture(f, 3)
				f.Release()
			}
			if people > 0 {
				assert.Empty(t, recorder.samples, "given up")
				return
			}
			for _, i := range []int{12, 37, 62} {
				recorder.NobodyFound(i, time.Duration(i)*40*time.Millisecond)
			}
			taken := filepath.Join(t.TempDir(), "taken.jpg")
			require.NoError(t, WriteSheet(t.Context(), media.Tools{}, "none", taken, recorder.Weakest(), 3))
			recorder.Forget()
			decoded := filepath.Join(t.TempDir(), "decoded.jpg")
			require.NoError(t, WriteSheet(t.Context(), tools, video, decoded, recorder.Weakest(), 3))
			assert.Equal(t, content(t, decoded), content(t, taken))
		})
	}
}

// pictured records weak moments of a video of 640 x 360: short ones of each reason, and runs that get weaker.
func pictured(t *testing.T, tools media.Tools, video string, tiles int) *Recorder {
	t.Helper()
	info, err := tools.Probe(t.Context(), video, media.Limits{})
	require.NoError(t, err)
	r, err := tools.Open(t.Context(), info, media.ReadOptions{})
	require.NoError(t, err)
	defer r.Close()
	recorder := frameRecord(t)
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return recorder
		}
		require.NoError(t, err)
		i := float32(f.Index)
		rec := &record.Frame{Index: f.Index, PTS: time.Duration(f.Index) * 40 * time.Millisecond}
		for at, origin := range []mask.Origin{mask.OriginPose, mask.OriginInterpolated, mask.OriginHeld, mask.OriginBox} {
			if f.Index/8%2 == at%2 { // runs of 8 frames
				rec.Heads = append(rec.Heads, head(100*float32(at)+50, 20+i/2, .9-i/100, origin))
			}
		}
		if f.Index%16 == 15 {
			rec.WholeFrameMasked = true
		}
		require.NoError(t, recorder.Add(rec))
		recorder.Picture(f, tiles)
		f.Release()
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return fmt.Sprintf("%x", text)
}

// BenchmarkPicture takes pictures of two heads in each 1080p frame, at moments that become weaker with each frame.
func BenchmarkPicture(b *testing.B) {
	f := &media.Frame{Width: 1920, Height: 1080,
		Format: media.PixelFormat{Name: "yuv420p", Depth: 8, ChromaShiftX: 1, ChromaShiftY: 1, Planes: 3}}
	for i := range f.Format.Planes {
		w, h := f.Format.PlaneSize(i, f.Width, f.Height)
		f.Planes[i] = media.Plane{Data: make([]byte, w*h), Width: w, Height: h}
	}
	r, err := NewRecorder(filepath.Join(b.TempDir(), "frames"))
	require.NoError(b, err)
	b.Cleanup(r.Close)
	for i := 0; b.Loop(); i++ {
		score := 1 / float32(i+2)
		require.NoError(b, r.Add(frame(i, head(500, 40, score, mask.OriginPose), head(900, 40, score, mask.OriginPose))))
		f.Index = i
		r.Picture(f, 12)
	}
}

// BenchmarkDevelop creates the image of a tile from a quarter of a 1080p frame.
func BenchmarkDevelop(b *testing.B) {
	f := &media.Frame{Width: 1920, Height: 1080,
		Format: media.PixelFormat{Name: "yuv420p", Depth: 8, ChromaShiftX: 1, ChromaShiftY: 1, Planes: 3}}
	for i := range f.Format.Planes {
		w, h := f.Format.PlaneSize(i, f.Width, f.Height)
		f.Planes[i] = media.Plane{Data: make([]byte, w*h), Width: w, Height: h}
	}
	for b.Loop() {
		photograph(f, Moment{Reason: LowScore, Box: [4]int{900, 500, 940, 540}})
	}
}
