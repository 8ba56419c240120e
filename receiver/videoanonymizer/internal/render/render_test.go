// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/edits"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	frames     = 100 // at 25 frames/s
	perPart    = 25  // frames per segment
	wide, tall = 320, 180
)

// rig is a source and its output, as the pipeline makes them.
type rig struct {
	t        testing.TB
	tools    media.Tools
	source   string
	output   string
	settings report.Settings
	options  media.WriteOptions
	document *edits.Document
	frames   int
	times    []float64 // of the frames, in seconds after the first one
	bodyOf   int       // track of the silhouette, 2 by default
}

// newRig makes a source with arguments for ffmpeg, and an output with an extension.
func newRig(t testing.TB, extension, source string, change func(*rig)) *rig {
	t.Helper()
	tools, err := media.FindTools("", "")
	require.NoError(t, err)
	folder := t.TempDir()
	r := &rig{t: t, tools: tools, output: filepath.Join(folder, "walk_anonymized."+extension), frames: frames,
		settings: report.Settings{Shape: "ellipse", Fill: "solid", Color: "#000000", Scale: 1.2, Method: "heads"},
		options: media.WriteOptions{Container: extension, Codec: "h264", Preset: "veryfast", PixelFormat: "auto",
			Encoder: "software", Audio: "drop"}}
	name, args, _ := strings.Cut(source, " ")
	r.source = filepath.Join(folder, "source", name)
	require.NoError(t, os.Mkdir(filepath.Dir(r.source), 0o700))
	command := append(strings.Fields("-v error -f lavfi -i testsrc2=s=320x180:r=25:d=4"), strings.Fields(args)...)
	out, err := exec.CommandContext(t.Context(), "ffmpeg", append(command, r.source)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	if change != nil {
		change(r)
	}
	r.anonymize()
	return r
}

const h264 = "walk.mp4 -c:v libx264 -preset ultrafast -g 50 -bf 2 -pix_fmt yuv420p"

// masks returns a head of track 1 that moves, and one of track 2 that stays, with a silhouette for the method
// whitelist.
func (r *rig) masks(i int) ([]mask.Head, []mask.Body) {
	heads := []mask.Head{
		{X: 60 + float32(i)/2, Y: 60, RX: 14, RY: 18, Angle: .2, Score: .9, Origin: mask.OriginPose, Track: 1},
		{X: 260, Y: 100, RX: 14, RY: 18, Score: .9, Origin: mask.OriginPose, Track: 2},
	}
	if r.settings.Method != "whitelist" {
		return heads, nil
	}
	cells := vision.NewBitmap(16, 16)
	for x := range 16 {
		for y := range x {
			cells.Set(x, y)
		}
	}
	return heads, []mask.Body{mask.NewBody(vision.Box{X0: 210.3, Y0: 40, X1: 300, Y1: 170.7},
		cmp.Or(r.bodyOf, 2), &cells)}
}

func (r *rig) beside(i int) *edits.Masks {
	heads, bodies := r.masks(i)
	return &edits.Masks{Heads: heads, Bodies: bodies}
}

// anonymize writes the output and its report.
func (r *rig) anonymize() {
	r.t.Helper()
	ctx := r.t.Context()
	info, err := r.tools.Probe(ctx, r.source, media.DefaultLimits())
	require.NoError(r.t, err)
	plan, err := media.NewPlan(info, r.options)
	require.NoError(r.t, err)
	reader, err := r.tools.Open(ctx, plan.Info(), media.ReadOptions{})
	require.NoError(r.t, err)
	defer reader.Close()
	temp := filepath.Join(filepath.Dir(r.output), ".temp"+filepath.Ext(r.output))
	writer, err := r.tools.Create(ctx, temp, plan, nil)
	require.NoError(r.t, err)
	recorder, err := report.NewRecorder(temp + ".frames")
	require.NoError(r.t, err)
	defer recorder.Close()
	painter, err := edits.NewPainter(&r.settings)
	require.NoError(r.t, err)
	var begin time.Duration
	for i := 0; ; i++ {
		frame, err := reader.Next()
		if errors.Is(err, io.EOF) {
			r.frames = i
			break
		}
		require.NoError(r.t, err)
		if i > 0 && i%perPart == 0 {
			_, err := writer.Seal()
			require.NoError(r.t, err)
		}
		if i == 0 {
			begin = frame.Time
		}
		r.times = append(r.times, (frame.Time - begin).Seconds())
		heads, bodies := r.masks(i)
		around := &edits.Around{Masks: edits.Masks{Heads: heads, Bodies: bodies}}
		if i > 0 && i < frames-1 { // like the tracker
			around.Before, around.After = r.beside(i-1), r.beside(i+1)
		}
		require.NoError(r.t, painter.Paint(frame, around))
		require.NoError(r.t, writer.Write(frame))
		require.NoError(r.t, recorder.Add(&record.Frame{Index: i, PTS: frame.Time, Analyzed: true, People: 2, Heads: heads,
			Bodies: bodies}))
		frame.Release()
	}
	require.NoError(r.t, writer.Finish(ctx))
	require.NoError(r.t, os.Rename(temp, r.output))
	left, err := filepath.Glob(filepath.Join(filepath.Dir(r.output), ".temp*"))
	require.NoError(r.t, err)
	for _, path := range left {
		if !strings.HasSuffix(path, ".frames") {
			require.NoError(r.t, os.Remove(path))
		}
	}
	output, err := report.Identify(ctx, r.output)
	require.NoError(r.t, err)
	source, err := report.Identify(ctx, r.source)
	require.NoError(r.t, err)
	o := r.options
	require.NoError(r.t, recorder.Write(report.Path(r.output), report.About{
		Source: source, Output: output, Settings: r.settings, Models: []report.Model{}, Segments: writer.Segments(),
		Encoding: &report.Encoding{Container: o.Container, Codec: o.Codec, PixelFormat: o.PixelFormat, Quality: o.Quality,
			Preset: o.Preset, Encoder: o.Encoder, Audio: o.Audio, Keep: o.Keep},
	}))
	require.NoError(r.t, os.Remove(temp+".frames"))
	r.document = r.fresh()
}

// fresh returns edits of the output, without operations.
func (r *rig) fresh() *edits.Document {
	made, err := report.Read(report.Path(r.output))
	require.NoError(r.t, err)
	hash, err := report.Identify(r.t.Context(), report.Path(r.output))
	require.NoError(r.t, err)
	return &edits.Document{Schema: edits.Schema,
		Source:  edits.Source{SHA256: made.Source.SHA256, Size: made.Source.Size, Frames: made.Summary.Frames},
		BasedOn: edits.Base{Revision: "r1", OutputSHA256: made.Output.SHA256, ReportSHA256: hash.SHA256}}
}

func (r *rig) request() Options {
	return Options{Tools: r.tools, Limits: media.DefaultLimits(), Output: r.output, Source: r.source, Edits: r.document,
		Program: report.Program{Name: "test"}, Mode: 0o644, Tiles: 4}
}

// edit adds operations, and sets the times of their keyframes.
func (r *rig) edit(operations ...edits.Operation) {
	for _, o := range operations {
		for i := range o.Keyframes {
			o.Keyframes[i].Time = r.times[o.Keyframes[i].Frame]
		}
	}
	r.document = r.document.With(operations...)
}

func (r *rig) render() Result {
	r.t.Helper()
	result, err := Run(r.t.Context(), r.request())
	require.NoError(r.t, err)
	return result
}

// drawn returns an operation that adds an ellipse to the frames from..to.
func drawn(from, to int, x, y float64) edits.Operation {
	return edits.Operation{Type: edits.Add, Shape: edits.Ellipse, Keyframes: []edits.Keyframe{
		{Frame: from, X: x, Y: y, RX: 20, RY: 24}, {Frame: to, Outside: true}}}
}

// packets returns the hashes of a video's packets, in decoding order.
func (r *rig) packets(path string) (hashes []string) {
	r.t.Helper()
	out, err := exec.CommandContext(r.t.Context(), "ffmpeg", "-v", "error", "-i", path, "-map", "0:v", "-c", "copy", "-f",
		"framehash", "-").Output()
	require.NoError(r.t, err)
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			fields := strings.Split(line, ",")
			hashes = append(hashes, strings.TrimSpace(fields[len(fields)-1]))
		}
	}
	return hashes
}

// each calls use for each frame of a video.
func (r *rig) each(path string, use func(*media.Frame)) {
	r.t.Helper()
	info, err := r.tools.Probe(r.t.Context(), path, media.DefaultLimits())
	require.NoError(r.t, err)
	reader, err := r.tools.Open(r.t.Context(), info, media.ReadOptions{})
	require.NoError(r.t, err)
	defer reader.Close()
	for {
		frame, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(r.t, err)
		use(frame)
		frame.Release()
	}
}

// black returns the fraction of an ellipse's pixels that are black.
func black(frame *media.Frame, h mask.Head) float64 {
	all, dark := 0, 0
	area := image.Rect(0, 0, frame.Width, frame.Height)
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := range frame.Width {
			if h.Contains(float32(x)+.5, float32(y)+.5) {
				all++
				if frame.Planes[0].Data[y*frame.Width+x] < 32 {
					dark++
				}
			}
		}
	}
	return float64(dark) / float64(all)
}

func names(t testing.TB, folder string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, e := range entries {
		if !e.IsDir() {
			all = append(all, e.Name())
		}
	}
	return all
}

// TestRenderedMaskCovers draws a mask over ten frames, and checks that it covers its ellipse in each of them, and that
// untouched segments keep exactly the same packets.
func TestRenderedMaskCovers(t *testing.T) {
	for name, test := range map[string]struct {
		source, extension, codec string
		all                      bool // everything is encoded
	}{
		"mp4":                          {source: h264, extension: "mp4", codec: "h264"},
		"mov":                          {source: h264, extension: "mov", codec: "h264"},
		"mkv":                          {source: "walk.mkv -c:v libx264 -preset ultrafast", extension: "mkv", codec: "h264"},
		"mp4 of mkv":                   {source: "walk.mkv -c:v ffv1", extension: "mp4", codec: "h264"},
		"mkv of mp4":                   {source: h264, extension: "mkv", codec: "h264"},
		"h265":                         {source: h264, extension: "mp4", codec: "h265"},
		"h265 in mkv":                  {source: h264, extension: "mkv", codec: "h265"},
		"ffv1":                         {source: h264, extension: "mkv", codec: "ffv1"},
		"vp9":                          {source: h264, extension: "webm", codec: "vp9"},
		"av1":                          {source: h264, extension: "mp4", codec: "av1"},
		"ts":                           {source: h264, extension: "ts", codec: "h264", all: true},
		"avi":                          {source: h264, extension: "avi", codec: "h264", all: true},
		"a video that begins at 2.4 s": {source: h264 + " -output_ts_offset 2.4", extension: "mp4", codec: "h264"},
		"variable frame rate": {source: h264 + " -vf setpts=PTS+mod(N\\,3)*0.01/TB -fps_mode passthrough",
			extension: "mp4", codec: "h264"},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "mp4" && name != "ts" {
				t.Skip("long")
			}
			r := newRig(t, test.extension, test.source, func(r *rig) {
				r.options.Codec = test.codec
				r.options.Preset = "ultrafast"
			})
			before := r.packets(r.output)
			r.edit(drawn(30, 40, 100, 130))
			result := r.render()
			assert.Equal(t, "r2", result.ID)
			assert.Equal(t, report.FromSource, result.From)
			want := perPart
			if test.all {
				want = r.frames
			}
			assert.Equal(t, want, result.Encoded)
			after := r.packets(result.Path)
			require.Len(t, after, len(before))
			if !test.all {
				assert.Equal(t, before[:perPart], after[:perPart])
				assert.Equal(t, before[2*perPart:], after[2*perPart:])
				assert.NotEqual(t, before[perPart:2*perPart], after[perPart:2*perPart])
			}
			r.each(result.Path, func(f *media.Frame) {
				heads, _ := r.masks(f.Index)
				for _, h := range heads {
					assert.Greater(t, black(f, h), .9, "frame %d: what the pipeline masked", f.Index)
				}
				h := mask.Head{X: 100, Y: 130, RX: 20, RY: 24}
				if f.Index >= 30 && f.Index < 40 {
					assert.Greater(t, black(f, h), .9, "frame %d", f.Index)
				} else {
					assert.Less(t, black(f, h), .5, "frame %d", f.Index)
				}
			})
			base := strings.TrimSuffix(filepath.Base(r.output), "."+test.extension)
			for _, companion := range []string{".report.json", ".edits.json", ".review.jpg"} {
				assert.FileExists(t, filepath.Join(filepath.Dir(r.output), base+".r2."+test.extension+companion))
			}
			for _, name := range names(t, filepath.Dir(r.output)) {
				assert.False(t, strings.HasPrefix(name, "."), "%s is left", name)
			}
		})
	}
}

// TestEveryMaskIsPaintedAsBefore renders an addition in every shape, fill and method, and checks that the frames of its
// segment otherwise look like those of the output.
func TestEveryMaskIsPaintedAsBefore(t *testing.T) {
	type look struct{ shape, fill, method string }
	var looks []look
	for _, shape := range mask.Shapes {
		looks = append(looks, look{string(shape), "solid", "heads"})
	}
	for _, fill := range mask.Fills {
		looks = append(looks, look{"ellipse", string(fill), "whitelist"}, look{"box", string(fill), "heads"})
	}
	for _, l := range looks {
		t.Run(fmt.Sprint(l), func(t *testing.T) {
			if testing.Short() && l.method != "whitelist" {
				t.Skip("long")
			}
			r := newRig(t, "mp4", h264, func(r *rig) {
				r.settings.Shape, r.settings.Fill, r.settings.Method = l.shape, l.fill, l.method
				r.options.Preset = "ultrafast"
				quality := 1
				r.options.Quality = &quality
			})
			r.edit(drawn(30, 40, 100, 130))
			result := r.render()
			assert.Equal(t, perPart, result.Encoded)
			var before [][]byte
			r.each(r.output, func(f *media.Frame) { before = append(before, append([]byte{}, f.Planes[0].Data...)) })
			h := mask.Head{X: 100, Y: 130, RX: 20, RY: 24}
			around := h.Grow(9)
			r.each(result.Path, func(f *media.Frame) {
				differs := 0
				for i, v := range f.Planes[0].Data {
					x, y := float32(i%wide), float32(i/wide)
					if d := int(v) - int(before[f.Index][i]); (d > 24 || d < -24) && !around.Contains(x, y) {
						differs++
					}
				}
				// Masks are rounded outward, so a few pixels around them may be covered, too.
				assert.Less(t, differs, 80, "frame %d", f.Index)
			})
		})
	}
}

// TestSilhouetteWithoutHead checks that the silhouette of a person can be edited in frames that have no head of theirs.
func TestSilhouetteWithoutHead(t *testing.T) {
	r := newRig(t, "mp4", h264, func(r *rig) { r.settings.Method, r.bodyOf = "whitelist", 3 })
	r.edit(edits.Operation{Type: edits.Remove, Track: 3, From: 30, To: 40, Reason: "not_a_head"})
	result := r.render()
	inside := mask.Head{X: 280, Y: 60, RX: 6, RY: 6}
	before := map[int]float64{}
	r.each(r.output, func(f *media.Frame) { before[f.Index] = black(f, inside) })
	r.each(result.Path, func(f *media.Frame) {
		if f.Index >= 30 && f.Index < 40 {
			assert.Less(t, black(f, inside), before[f.Index]-.5, "frame %d", f.Index)
		} else {
			assert.InDelta(t, before[f.Index], black(f, inside), .1, "frame %d", f.Index)
		}
	})
}

func TestEditsAfterEdits(t *testing.T) {
	r := newRig(t, "mp4", h264, nil)
	remove := edits.Operation{Type: edits.Remove, Track: 2, From: 0, To: 30, Reason: "picture"}
	r.edit(drawn(80, 90, 100, 130), remove)
	second := r.render()
	assert.Equal(t, 3*perPart, second.Encoded)
	r.each(second.Path, func(f *media.Frame) {
		heads, _ := r.masks(f.Index)
		assert.Greater(t, black(f, heads[0]), .9)
		assert.Equal(t, f.Index >= 30, black(f, heads[1]) > .9, "frame %d", f.Index)
	})
	r.edit(edits.Operation{Type: edits.Adjust, Track: 1, From: 0, To: 1, DX: 0, DY: 60, Reason: "not_a_head"})
	third := r.render()
	assert.Equal(t, "r3", third.ID)
	assert.Equal(t, perPart, third.Encoded, "only what changed since r2")
	assert.Equal(t, r.packets(second.Path)[perPart:], r.packets(third.Path)[perPart:])
	r.each(third.Path, func(f *media.Frame) {
		if f.Index == 0 {
			heads, _ := r.masks(0)
			heads[0].Y += 60
			assert.Greater(t, black(f, heads[0]), .9)
		}
	})
	for id := 3; id >= 1; id-- {
		r.edit(edits.Operation{Type: edits.Revert, Of: id, Reason: "not_a_head"})
	}
	fourth := r.render()
	r.each(fourth.Path, func(f *media.Frame) {
		heads, _ := r.masks(f.Index)
		assert.Greater(t, black(f, heads[0]), .9)
		assert.Greater(t, black(f, heads[1]), .9)
		assert.Less(t, black(f, mask.Head{X: 100, Y: 130, RX: 20, RY: 24}), .5)
	})
	made, err := report.Read(report.Path(fourth.Path))
	require.NoError(t, err)
	assert.Equal(t, "r4", made.Revision.ID)
	assert.Equal(t, 6, made.Revision.Operations)
	assert.Equal(t, filepath.Base(third.Path), made.Revision.Base.Name)
	hash, err := report.Identify(t.Context(), fourth.Path)
	require.NoError(t, err)
	assert.Equal(t, hash, made.Output)
	_, err = Run(t.Context(), r.request())
	require.ErrorIs(t, err, ErrNothing)
}

func TestSourceIsGone(t *testing.T) {
	for name, take := range map[string]func(r *rig){
		"deleted":  func(r *rig) { require.NoError(r.t, os.Remove(r.source)) },
		"another":  func(r *rig) { require.NoError(r.t, os.WriteFile(r.source, []byte("another"), 0o600)) },
		"not told": func(r *rig) { r.source = "" },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "mp4", h264, nil)
			take(r)
			r.edit(drawn(30, 40, 100, 130), edits.Operation{Type: edits.Adjust, Track: 2, From: 30, To: 31, ScaleRX: 1.5,
				ScaleRY: 1.5})
			result := r.render()
			assert.Equal(t, report.FromOutput, result.From)
			assert.Equal(t, perPart, result.Encoded)
			assert.Equal(t, r.packets(r.output)[:perPart], r.packets(result.Path)[:perPart])
			r.each(result.Path, func(f *media.Frame) {
				heads, _ := r.masks(f.Index)
				assert.Greater(t, black(f, heads[0]), .9)
				if f.Index >= 30 && f.Index < 40 {
					assert.Greater(t, black(f, mask.Head{X: 100, Y: 130, RX: 20, RY: 24}), .9)
				}
				if f.Index == 30 {
					heads[1].RX, heads[1].RY = heads[1].RX*1.5, heads[1].RY*1.5
				}
				assert.Greater(t, black(f, heads[1]), .9)
			})
			for _, o := range []edits.Operation{
				{Type: edits.Remove, Track: 1, From: 0, To: 9, Reason: "picture"},
				{Type: edits.Adjust, Track: 1, From: 0, To: 9, DX: 50, Reason: "picture"},
				{Type: edits.Revert, Of: 1, Reason: "not_a_head"},
			} {
				document := r.document
				r.edit(o)
				_, err := Run(t.Context(), r.request())
				require.ErrorIs(t, err, ErrSource, "%v", o)
				r.document = document
			}
		})
	}
}

// TestOldReports checks that with old reports, which have neither exact masks nor segments, masks can be added, and
// that everything is encoded again.
func TestOldReports(t *testing.T) {
	r := newRig(t, "mp4", h264, nil)
	text, err := os.ReadFile(report.Path(r.output))
	require.NoError(t, err)
	old := regexp.MustCompile(`(?s)\n  "encoding": \{.*?\n  \},|\n  "segments": \[.*?\n  \],|`+
		`,"ellipse":\[[^]]*\]|,"track":\d+`).
		ReplaceAll(text, nil)
	require.NotEqual(t, len(text), len(old))
	require.NoError(t, os.WriteFile(report.Path(r.output), old, 0o600))
	r.document = r.fresh()
	r.edit(drawn(30, 40, 100, 130))
	result := r.render()
	assert.Equal(t, report.FromOutput, result.From)
	assert.Equal(t, frames, result.Encoded)
	r.each(result.Path, func(f *media.Frame) {
		heads, _ := r.masks(f.Index)
		assert.Greater(t, black(f, heads[0]), .9)
		if f.Index >= 30 && f.Index < 40 {
			assert.Greater(t, black(f, mask.Head{X: 100, Y: 130, RX: 20, RY: 24}), .9)
		}
	})
	r.edit(edits.Operation{Type: edits.Adjust, Track: 1, From: 0, To: 9, ScaleRX: 2})
	_, err = Run(t.Context(), r.request())
	require.ErrorIs(t, err, ErrInvalid, "there are no tracks")
}

// TestOtherEncodings checks that everything is encoded if the encoder now describes the video differently.
func TestOtherEncodings(t *testing.T) {
	r := newRig(t, "mp4", h264, nil)
	text, err := os.ReadFile(report.Path(r.output))
	require.NoError(t, err)
	text = bytes.Replace(text, []byte(`"preset": "veryfast"`), []byte(`"preset": "slow"`), 1)
	require.NoError(t, os.WriteFile(report.Path(r.output), text, 0o600))
	r.document = r.fresh()
	r.edit(drawn(30, 40, 100, 130))
	assert.Equal(t, frames, r.render().Encoded)
}

func TestFilesThatDoNotBelongTogether(t *testing.T) {
	for name, change := range map[string]func(r *rig){
		"output changed": func(r *rig) {
			require.NoError(r.t, os.WriteFile(r.output, append(read(r.t, r.output), 0), 0o600))
		},
		"report changed": func(r *rig) {
			path := report.Path(r.output)
			require.NoError(r.t, os.WriteFile(path, bytes.Replace(read(r.t, path), []byte("0.9"), []byte("0.8"), 1), 0o600))
		},
		"edits of another":        func(r *rig) { r.document.BasedOn.OutputSHA256 = strings.Repeat("0", 64) },
		"other number of frames":  func(r *rig) { r.document.Source.Frames-- },
		"fewer operations before": func(r *rig) { r.render(); r.document = r.fresh() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "mp4", h264, nil)
			r.edit(drawn(30, 40, 100, 130))
			change(r)
			before := names(t, filepath.Dir(r.output))
			_, err := Run(t.Context(), r.request())
			require.ErrorIs(t, err, ErrMismatch)
			assert.Equal(t, before, names(t, filepath.Dir(r.output)))
		})
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return text
}

func TestNamesAndNumbers(t *testing.T) {
	assert.Equal(t, "/a/b.c.mp4", Path("/a/b.c.mp4", 1))
	assert.Equal(t, "/a/b.c.r12.mp4", Path("/a/b.c.mp4", 12))
	for id, want := range map[string]int{"r1": 1, "r20": 20, "r0": 0, "r": 0, "2": 0, "r-1": 0, "r2/../": 0} {
		assert.Equal(t, want, Number(id), id)
	}
}
