// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/picture"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pipeline"
)

// vtest is set up by `make footage`.
const vtest = "../../../../build/cache/footage/source/vtest.avi"

// streetHeads has annotations made by hand; see docs/recall.md.
const streetHeads = "../../../../test/recall/annotations/street.yaml"

// mosaic is a large picture of many frames of a street side by side, with known heads.
type mosaic struct {
	path  string
	heads []image.Point // centers
}

// makeMosaic tiles enlarged annotated frames of vtest that are far apart. In the video, heads are 11 pixels wide and 12
// high on average.
func makeMosaic(tb testing.TB, columns, rows int, scale float64) mosaic {
	tb.Helper()
	if _, err := os.Stat(vtest); err != nil {
		tb.Skip("run make footage: ", err)
	}
	frames := annotated(tb)
	require.LessOrEqual(tb, columns*rows, len(frames))
	m := mosaic{path: filepath.Join(tb.TempDir(), "mosaic.jpg")}
	width, height := int(768*scale), int(576*scale)
	var selected []string
	for i := range columns * rows {
		f := frames[(2*i+1)*len(frames)/(2*columns*rows)]
		selected = append(selected, fmt.Sprintf("eq(n\\,%d)", f.index))
		corner := image.Pt(i%columns*width, i/columns*height)
		for _, h := range f.heads {
			m.heads = append(m.heads, corner.Add(image.Pt(int(scale*(h[0]+h[2])/2), int(scale*(h[1]+h[3])/2))))
		}
	}
	out, err := exec.Command("ffmpeg", "-v", "error", "-i", vtest, "-vf", fmt.Sprintf(
		"select=%s,scale=%d:%d:flags=lanczos+bitexact+accurate_rnd,tile=%dx%d", strings.Join(selected, "+"), width, height,
		columns, rows), "-frames:v", "1", "-q:v", "2", m.path).CombinedOutput()
	require.NoError(tb, err, "%s", out)
	return m
}

// annotatedFrame is a frame and the boxes of its heads: x0, y0, x1, y1.
type annotatedFrame struct {
	index int
	heads [][4]float64
}

func annotated(tb testing.TB) (frames []annotatedFrame) {
	tb.Helper()
	file, err := os.ReadFile(streetHeads)
	require.NoError(tb, err)
	for line := range strings.Lines(string(file)) {
		var f annotatedFrame
		var box [4]float64
		line = strings.TrimSpace(line)
		if _, err := fmt.Sscanf(line, "- frame: %d", &f.index); err == nil {
			frames = append(frames, f)
			continue
		}
		if _, err := fmt.Sscanf(line, "- {box: [%g, %g, %g, %g]", &box[0], &box[1], &box[2], &box[3]); err == nil {
			frames[len(frames)-1].heads = append(frames[len(frames)-1].heads, box)
		}
	}
	return frames
}

// masked takes the picture through the pipeline. It returns how many of its heads, and what share of it, are masked.
func (m mosaic) masked(tb testing.TB, r *Runner) (heads int, share float64) {
	tb.Helper()
	file, err := picture.Read(m.path, media.Limits{})
	require.NoError(tb, err)
	p, err := file.Decode(tb.Context(), media.Tools{})
	require.NoError(tb, err)
	frame := p.Frames()[0] // an opaque picture has one view
	alone := &still{frame: frame}
	options := r.pipelineOptions(1)
	options.Workers = 1
	require.NoError(tb, pipeline.Run(tb.Context(), alone, alone, options))
	opaque := frame.Planes[3]
	for _, h := range m.heads {
		if opaque.Data[h.Y*opaque.Width+h.X] != 0 {
			heads++
		}
	}
	covered := 0
	for _, v := range opaque.Data {
		if v != 0 {
			covered++
		}
	}
	return heads, float64(covered) / float64(len(opaque.Data))
}

// TestSmallPeopleInLargePictures checks that people who are small in a large picture or frame are found in its parts:
// surveys divide both, the usual search only pictures.
func TestSmallPeopleInLargePictures(t *testing.T) {
	if testing.Short() {
		t.Skip("searches a large picture")
	}
	m := makeMosaic(t, 12, 1, 1)
	for _, survey := range []bool{true, false} {
		r, _ := benchRunner(t, map[string]any{"survey": map[string]any{"enabled": survey, "turned": false}})
		asFrame, _ := m.masked(t, r.asThorough())
		asPicture, share := m.masked(t, r.forPictures())
		t.Logf("survey %v: %d of %d heads masked, as a frame %d", survey, asPicture, len(m.heads), asFrame)
		if survey {
			assert.Greater(t, asFrame, len(m.heads)*8/10)
		} else {
			assert.Less(t, asFrame, len(m.heads)*6/10)
		}
		assert.Greater(t, asPicture, len(m.heads)*8/10)
		assert.Less(t, share, 0.1, "it is not for masking everything")
	}
}

// BenchmarkLargePictures counts the masked heads in pictures of several sizes, searched as frames of these sizes and as
// pictures. It needs `make footage`. Run it as
//
//	go test ./internal/anonymize -run '^$' -bench BenchmarkLargePictures -benchtime 1x
func BenchmarkLargePictures(b *testing.B) {
	r, _ := benchRunner(b, nil)
	for _, of := range []struct {
		columns, rows int
		scale         float64
	}{{1, 1, 2.5}, {5, 5, 1}, {4, 4, 2.5}, {7, 7, 1.4}, {10, 1, 2}, {20, 2, 1}} {
		m := makeMosaic(b, of.columns, of.rows, of.scale)
		for _, as := range []struct {
			name string
			*Runner
		}{{"frame", r.asThorough()}, {"picture", r.forPictures()}} {
			b.Run(fmt.Sprintf("frames=%dx%d/head=%.1f/as=%s", of.columns, of.rows, 11*of.scale, as.name), func(b *testing.B) {
				var heads int
				var share float64
				used := measured(b, func() {
					for b.Loop() {
						heads, share = m.masked(b, as.Runner)
					}
				})
				b.ReportMetric(float64(heads), "masked")
				b.ReportMetric(float64(len(m.heads)), "heads")
				b.ReportMetric(100*share, "%masked")
				b.ReportMetric(used.cpu.Seconds()/float64(b.N), "cpu-s/op")
			})
		}
	}
}
