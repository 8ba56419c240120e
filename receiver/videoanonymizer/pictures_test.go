// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/oip/oiptest"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/picture/heictest"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/privacy"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// talkFootage is fetched by `make footage`. It shows one person near the camera.
const talkFootage = "../../build/cache/footage/talk.mp4"

// still creates a picture from a lavfi source or, if source is not one, from a file. The extension of path selects the
// format.
func still(t *testing.T, path, source string, args ...string) {
	t.Helper()
	input := []string{"-v", "error", "-y"}
	if strings.Contains(source, "=") {
		input = append(input, "-f", "lavfi")
	}
	if strings.HasPrefix(filepath.Ext(path), ".tif") {
		args = append(args, "-pix_fmt", "rgb24")
	}
	ffmpeg(t, append(append(append(input, "-i", source), args...), "-frames:v", "1", path)...)
}

// gray is a lavfi source of a picture with nobody in it.
const gray = "color=gray:size=160x120:rate=1:duration=1"

// newPicturesConfig keeps searching to a minimum: pictures are searched thoroughly, except where keys are set
// explicitly.
func newPicturesConfig(t *testing.T) *Config {
	t.Helper()
	cfg := newTestConfig(t)
	require.NoError(t, cfg.Unmarshal(confmap.NewFromStringMap(map[string]any{"detector": map[string]any{
		"survey": map[string]any{"enabled": false}, "tiles": 1, "faces": "", "input_size": 320,
	}})))
	return cfg
}

// TestPicturesAreAnonymized checks that pictures of all kinds are anonymized in their own format, along with videos,
// each with a report and in one trace of its own. Contact sheets are not sources.
func TestPicturesAreAnonymized(t *testing.T) {
	if testing.Short() {
		t.Skip("searches pictures thoroughly")
	}
	if _, err := os.Stat(talkFootage); err != nil {
		t.Skip("run make footage: ", err)
	}
	cfg := newTestConfig(t)
	r := start(t, cfg)
	for _, name := range []string{"a.jpg", "b.PNG", "c.tiff", "d.webp"} {
		still(t, filepath.Join(r.in, name), talkFootage, "-ss", "1")
	}
	still(t, filepath.Join(r.in, "old_anonymized.mp4.review.jpg"), gray)
	clip(t, filepath.Join(r.in, "video.mp4"), "-i", "color=gray:size=320x240:rate=10:duration=0.5")
	photo := heictest.Picture(t, decodePNG(t, filepath.Join(r.in, "b.PNG")), image.Pt(128, 128), heictest.Coding{})
	require.NoError(t, os.WriteFile(filepath.Join(r.in, "e.HEIC"), photo, 0o600))
	for _, name := range []string{"a.jpg", "b.PNG", "c.tiff", "d.webp", "e.HEIC", "video.mp4"} {
		r.awaitLog(t, "finished", name)
	}
	require.NoError(t, r.Shutdown(t.Context()))
	want := reviewed("video_anonymized.mp4")
	for _, name := range []string{"a_anonymized.jpg", "b_anonymized.png", "c_anonymized.tiff", "d_anonymized.webp",
		"e_anonymized.jpg"} {
		want = append(want, name, name+".report.json")
		w := readReport(t, filepath.Join(r.out, name))
		assert.Equal(t, 1, w.Summary.Masks, name)
		assert.Equal(t, "thorough", w.Settings.Recall)
	}
	slices.Sort(want)
	assert.Equal(t, want, visible(t, r.out))
	assert.Empty(t, hidden(t, r.out))

	img := decodePNG(t, filepath.Join(r.out, "b_anonymized.png"))
	middle := image.Pt(img.Bounds().Dx()*53/100, img.Bounds().Dy()/2) // the face
	assert.Equal(t, color.RGBA{0, 0, 0, 255}, color.RGBAModel.Convert(img.At(middle.X, middle.Y)))
	f, err := os.Open(filepath.Join(r.out, "e_anonymized.jpg"))
	require.NoError(t, err)
	defer f.Close()
	heic, err := jpeg.Decode(f)
	require.NoError(t, err)
	assert.Equal(t, img.Bounds(), heic.Bounds())
	assert.Less(t, color.GrayModel.Convert(heic.At(middle.X, middle.Y)).(color.Gray).Y, uint8(8))

	pictures := r.spans("anonymize_picture")
	require.Len(t, pictures, 5)
	assert.Len(t, r.spans("anonymize_video"), 1)
	below := map[string]int{}
	for _, root := range pictures {
		outcome, _ := root.Attributes().Get("anonymizer.video.outcome")
		assert.Equal(t, "finished", outcome.Str())
		_, factor := root.Attributes().Get("anonymizer.video.real_time_factor")
		assert.False(t, factor)
		for _, frame := range r.spans("process_single_frame") {
			if frame.TraceID() != root.TraceID() {
				continue
			}
			assert.Equal(t, root.SpanID(), frame.ParentSpanID())
			assert.LessOrEqual(t, root.StartTimestamp(), frame.StartTimestamp())
			assert.GreaterOrEqual(t, root.EndTimestamp(), frame.EndTimestamp())
			for _, stage := range []string{"decode", "person_detection", "pose_estimation", "visualization", "encode"} {
				for _, span := range r.spans(stage) {
					if span.ParentSpanID() == frame.SpanID() {
						below[stage]++
					}
				}
			}
		}
	}
	assert.Equal(t, map[string]int{"decode": 5, "person_detection": 5, "pose_estimation": 5, "visualization": 5,
		"encode": 5}, below)
}

func decodePNG(t *testing.T, path string) image.Image {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	img, err := png.Decode(f)
	require.NoError(t, err)
	return img
}

// TestPictureWithNobody checks that such a picture finishes, and that its report says that nobody was found.
func TestPictureWithNobody(t *testing.T) {
	r := start(t, newTestConfig(t))
	still(t, filepath.Join(r.in, "empty.png"), gray)
	finished := r.awaitLog(t, "finished", "empty.png")
	require.NoError(t, r.Shutdown(t.Context()))
	nobody, _ := finished.Attributes().Get("anonymizer.video.nobody_found")
	assert.True(t, nobody.Bool())
	assert.Equal(t, plog.SeverityNumberWarn, finished.SeverityNumber())
	assert.Equal(t, "picture finished: nobody was found in it", finished.Body().Str())
	w := readReport(t, filepath.Join(r.out, "empty_anonymized.png"))
	assert.True(t, w.Summary.NobodyFound)
	require.Len(t, w.Weakest, 1)
	assert.Equal(t, report.NobodyFound, w.Weakest[0].Reason)
}

// TestBadPicturesFail checks that a picture that cannot be read fails with the reason, leaves no files behind, and does
// not hold up others.
func TestBadPicturesFail(t *testing.T) {
	r := start(t, newPicturesConfig(t))
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(r.in, name), []byte(text), 0o600))
	}
	still(t, filepath.Join(r.in, "whole.jpg"), "testsrc2=size=320x240:rate=1:duration=1")
	whole, err := os.ReadFile(filepath.Join(r.in, "whole.jpg"))
	require.NoError(t, err)
	write("cut.jpg", string(whole[:len(whole)/2]))
	write("text.png", "no picture")
	write("phone.heic", string(heictest.File([]heictest.Item{{Kind: "av01",
		Properties: [][]byte{heictest.Size(image.Pt(64, 64))}}}, 1)))
	still(t, filepath.Join(r.in, "film.jpg"), gray)
	clip(t, filepath.Join(r.in, "renamed.mp4"), "-i", gray)
	require.NoError(t, os.Rename(filepath.Join(r.in, "renamed.mp4"), filepath.Join(r.in, "film.png")))
	for name, want := range map[string][2]string{
		"cut.jpg": {"damaged", "ends in its headers"}, "text.png": {"not_picture", "not a JPEG"},
		"phone.heic": {"unsupported", "convert it to JPEG"}, "film.png": {"not_picture", "not a JPEG"},
	} {
		failed := r.awaitLog(t, "failed", name)
		reason, _ := failed.Attributes().Get("error.type")
		assert.Equal(t, want[0], reason.Str(), name)
		assert.Contains(t, failed.Body().Str(), want[1], name)
		assert.Contains(t, failed.Body().Str(), name)
		assert.FileExists(t, filepath.Join(r.in, name))
	}
	r.awaitLog(t, "finished", "whole.jpg")
	r.awaitLog(t, "finished", "film.jpg")
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Equal(t, []string{"film_anonymized.jpg", "film_anonymized.jpg.report.json", "whole_anonymized.jpg",
		"whole_anonymized.jpg.report.json"}, visible(t, r.out))
}

// TestPicturesFailClosed checks that a picture is masked whole if inference fails, whatever its format.
func TestPicturesFailClosed(t *testing.T) {
	cfg := newPicturesConfig(t)
	cfg.Inference.Timeout = time.Nanosecond
	r := start(t, cfg)
	names := []string{"a.jpg", "b.png", "c.webp", "d.tif"}
	for _, name := range names {
		still(t, filepath.Join(r.in, name), "testsrc2=size=160x120:rate=1:duration=1")
	}
	for _, name := range names {
		finished := r.awaitLog(t, "finished", name)
		whole, _ := finished.Attributes().Get("anonymizer.video.frames_masked_whole")
		assert.EqualValues(t, 1, whole.Int())
	}
	require.NoError(t, r.Shutdown(t.Context()))
	img := decodePNG(t, filepath.Join(r.out, "b_anonymized.png"))
	for _, at := range []image.Point{{0, 0}, {159, 0}, {80, 60}, {0, 119}, {159, 119}} {
		assert.Equal(t, color.RGBA{0, 0, 0, 255}, color.RGBAModel.Convert(img.At(at.X, at.Y)), at)
	}
}

// TestPicturesAreSeenInAllWays checks that people are masked even if the upper bits of a picture, or its colors alone,
// show next to nothing.
func TestPicturesAreSeenInAllWays(t *testing.T) {
	if _, err := os.Stat(talkFootage); err != nil {
		t.Skip("run make footage: ", err)
	}
	dir := t.TempDir()
	still(t, filepath.Join(dir, "talk.png"), talkFootage, "-ss", "1")
	talk := decodePNG(t, filepath.Join(dir, "talk.png"))
	made := map[string]func(c color.RGBA, at image.Point) color.Color{
		"eight.png": func(c color.RGBA, _ image.Point) color.Color { return c },
		"ten.png": func(c color.RGBA, _ image.Point) color.Color {
			return color.NRGBA64{uint16(c.R) * 4, uint16(c.G) * 4, uint16(c.B) * 4, 65535}
		},
		"twelve.png": func(c color.RGBA, at image.Point) color.Color {
			if at.Y < 20 { // a caption
				return color.NRGBA64{65535, 65535, 65535, 65535}
			}
			return color.NRGBA64{uint16(c.R) * 16, uint16(c.G) * 16, uint16(c.B) * 16, 65535}
		},
		"gray.png":  func(c color.RGBA, _ image.Point) color.Color { return color.Gray16{uint16(c.G) * 4} },
		"white.png": func(c color.RGBA, _ image.Point) color.Color { return color.NRGBA{255, 255, 255, c.G} },
		"black.png": func(c color.RGBA, _ image.Point) color.Color { return color.NRGBA{0, 0, 0, 255 - c.G} },
	}
	r := start(t, newPicturesConfig(t))
	for name, of := range made {
		var img draw.Image = image.NewNRGBA(talk.Bounds())
		switch of(color.RGBA{}, image.Point{}).(type) {
		case color.NRGBA64:
			img = image.NewNRGBA64(talk.Bounds())
		case color.Gray16:
			img = image.NewGray16(talk.Bounds())
		}
		for y := range talk.Bounds().Dy() {
			for x := range talk.Bounds().Dx() {
				img.Set(x, y, of(color.RGBAModel.Convert(talk.At(x, y)).(color.RGBA), image.Pt(x, y)))
			}
		}
		var file bytes.Buffer
		require.NoError(t, png.Encode(&file, img))
		require.NoError(t, os.WriteFile(filepath.Join(r.in, name+".part"), file.Bytes(), 0o600))
		require.NoError(t, os.Rename(filepath.Join(r.in, name+".part"), filepath.Join(r.in, name)))
	}
	for name := range made {
		r.awaitLog(t, "finished", name)
	}
	require.NoError(t, r.Shutdown(t.Context()))
	face := image.Pt(talk.Bounds().Dx()*53/100, talk.Bounds().Dy()/2)
	for name := range made {
		out := strings.TrimSuffix(name, ".png") + "_anonymized.png"
		img := decodePNG(t, filepath.Join(r.out, out))
		red, green, blue, opacity := img.At(face.X, face.Y).RGBA()
		assert.Equal(t, [4]uint32{0, 0, 0, 65535}, [4]uint32{red, green, blue, opacity}, name)
	}
}

// TestPicturesUseRegions checks that configured regions are masked in pictures, too, in upright coordinates.
func TestPicturesUseRegions(t *testing.T) {
	cfg := newPicturesConfig(t)
	cfg.Mask.Regions = []config.Region{{Polygon: [][]float64{{0, 0}, {0.5, 0}, {0.5, 1}, {0, 1}}, Action: mask.Mask}}
	cfg.Mask.Color = "#ff0000"
	r := start(t, cfg)
	path := filepath.Join(r.in, "tall.jpg")
	still(t, filepath.Join(t.TempDir(), "lying.jpg"), gray)
	still(t, path+".part", gray, "-f", "image2", "-c:v", "mjpeg", "-q:v", "2")
	file, err := os.ReadFile(path + ".part")
	require.NoError(t, err)
	orientation6 := "\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08" +
		"\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
	require.NoError(t, os.WriteFile(path+".part", []byte(string(file[:2])+orientation6+string(file[2:])), 0o600))
	require.NoError(t, os.Rename(path+".part", path))
	r.awaitLog(t, "finished", "tall.jpg")
	require.NoError(t, r.Shutdown(t.Context()))
	f, err := os.Open(filepath.Join(r.out, "tall_anonymized.jpg"))
	require.NoError(t, err)
	defer f.Close()
	img, err := jpeg.Decode(f)
	require.NoError(t, err)
	// For display, the picture is turned clockwise: its left half is stored as the lower half.
	red := color.RGBAModel.Convert(img.At(80, 100)).(color.RGBA)
	assert.Greater(t, red.R, uint8(240))
	assert.Less(t, red.G, uint8(20))
	upper := color.RGBAModel.Convert(img.At(80, 20)).(color.RGBA)
	assert.InDelta(t, 128, upper.R, 8)
}

// TestBurst checks that 200 pictures that arrive at once are each processed once, several at a time, and that no
// temporary files remain.
func TestBurst(t *testing.T) {
	if testing.Short() {
		t.Skip("anonymizes 200 pictures")
	}
	cfg := newPicturesConfig(t)
	cfg.Watch.StableFor = 10 * time.Millisecond
	r := start(t, cfg)
	const n = 200
	burst(t, r.in, n)
	require.Eventually(t, func() bool { return len(visible(t, r.out)) == 2*n }, 2*time.Minute, 50*time.Millisecond)
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Len(t, r.spans("anonymize_picture"), n)
	assert.Empty(t, hidden(t, r.out))
	overlap := false
	spans := r.spans("anonymize_picture")
	for _, a := range spans {
		for _, b := range spans {
			overlap = overlap || a.StartTimestamp() < b.StartTimestamp() && b.StartTimestamp() < a.EndTimestamp()
		}
	}
	assert.True(t, overlap, "they are processed one after another")
}

// burst moves n pictures into a folder.
func burst(t *testing.T, folder string, n int) {
	t.Helper()
	made := t.TempDir()
	ffmpeg(t, "-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc=size=64x48:rate=30:duration=%d", n/30+1),
		"-frames:v", fmt.Sprint(n), filepath.Join(made, "f%04d.jpg"))
	all, err := filepath.Glob(filepath.Join(made, "*.jpg"))
	require.NoError(t, err)
	require.Len(t, all, n)
	for i, path := range all { // frames of testsrc may repeat, but pictures with the same content still count as two
		require.NoError(t, os.Rename(path, filepath.Join(folder, fmt.Sprintf("f%04d.jpg", i))))
	}
}

// TestBurstWaitsForServers checks that pictures are not tried one after another while no inference server is available.
func TestBurstWaitsForServers(t *testing.T) {
	server := serve(t, oiptest.Options{})
	cfg := newPicturesConfig(t)
	cfg.Watch.StableFor = 10 * time.Millisecond
	cfg.Retry.InitialInterval, cfg.Retry.MaxInterval = time.Millisecond, 10*time.Millisecond
	cfg.Inference.Remote.Endpoint = server.Endpoint()
	r := start(t, cfg)
	const n = 12
	burst(t, r.in, n)
	require.Eventually(t, func() bool { return len(visible(t, r.out)) > 0 }, time.Minute, time.Millisecond)
	server.Stop()
	time.Sleep(500 * time.Millisecond)
	require.NoError(t, server.Start())
	require.Eventually(t, func() bool { return len(visible(t, r.out)) == 2*n }, time.Minute, 50*time.Millisecond)
	require.NoError(t, r.Shutdown(t.Context()))

	assert.Less(t, len(r.spans("anonymize_picture")), n+12)
}

// TestBurstIsInterrupted checks that a burst that is stopped and started again loses no picture and processes none
// twice.
func TestBurstIsInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("anonymizes 40 pictures")
	}
	cfg := newPicturesConfig(t)
	cfg.Watch.StableFor = 10 * time.Millisecond
	cfg.Output.OnSuccess = watch.OnSuccessDelete
	const n = 40
	first := start(t, cfg)
	burst(t, first.in, n)
	require.Eventually(t, func() bool { return len(visible(t, first.out)) > 10 }, time.Minute, time.Millisecond)
	require.NoError(t, first.Shutdown(t.Context()))
	done := len(visible(t, first.out)) / 2
	require.Less(t, done, n, "it was too fast to be interrupted")
	assert.Empty(t, hidden(t, first.out))

	second := start(t, cfg)
	require.Eventually(t, func() bool { return len(visible(t, second.in)) == 0 }, 2*time.Minute, 20*time.Millisecond)
	require.NoError(t, second.Shutdown(t.Context()))
	outputs := map[string]bool{}
	for _, name := range visible(t, second.out) {
		outputs[name] = true
	}
	want := map[string]bool{}
	for i := range n {
		name := fmt.Sprintf("f%04d_anonymized.jpg", i)
		want[name], want[name+".report.json"] = true, true
	}
	assert.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(outputs)))
	assert.Empty(t, hidden(t, second.out))
}

// burstFolder is the environment variable that names the folder of TestBurstIsKilled in its child process.
const burstFolder = "TEST_BURST_FOLDER"

// TestBurstIsKilled checks that a process that is killed twice in the middle of a burst leaves no partial picture under
// a final name, and that the next process does the rest, and nothing twice.
func TestBurstIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("anonymizes 24 pictures in three processes")
	}
	cfg := newPicturesConfig(t)
	if root := os.Getenv(burstFolder); root != "" {
		cfg.Watch.Include, cfg.Output.Directory = []string{filepath.Join(root, "in", "*")}, filepath.Join(root, "out")
		start(t, cfg)
		<-t.Context().Done() // until it is killed
	}
	const n = 24
	root := filepath.Dir(cfg.Output.Directory)
	burst(t, filepath.Join(root, "in"), n)
	for kill := 1; kill <= 2; kill++ {
		child := exec.Command(os.Args[0], "-test.run=^TestBurstIsKilled$")
		child.Env = append(os.Environ(), burstFolder+"="+root)
		require.NoError(t, child.Start())
		assert.Eventually(t, func() bool {
			outputs, err := filepath.Glob(filepath.Join(cfg.Output.Directory, "[^.]*.jpg"))
			return err == nil && len(outputs) >= 5*kill
		}, time.Minute, time.Millisecond)
		require.NoError(t, child.Process.Kill())
		_ = child.Wait()
		outputs, err := filepath.Glob(filepath.Join(cfg.Output.Directory, "[^.]*.jpg"))
		require.NoError(t, err)
		require.Less(t, len(outputs), n, "it was too fast to be killed")
		for _, output := range outputs {
			assertWhole(t, output)
		}
	}
	r := start(t, cfg)
	require.Eventually(t, func() bool { return len(visible(t, r.out)) == 2*n }, time.Minute, 20*time.Millisecond)
	require.NoError(t, r.Shutdown(t.Context()))
	for i := range n {
		output := filepath.Join(r.out, fmt.Sprintf("f%04d_anonymized.jpg", i))
		assertWhole(t, output)
		assert.FileExists(t, report.Path(output))
		assert.FileExists(t, filepath.Join(r.in, fmt.Sprintf("f%04d.jpg", i)))
	}
	assert.Empty(t, hidden(t, r.out))
}

// assertWhole checks that a JPEG decodes to its end.
func assertWhole(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	_, err = jpeg.Decode(f)
	assert.NoError(t, err, path)
}

// TestErasePicture checks that everything about a picture is erased, including telemetry, and nothing about another
// one.
func TestErasePicture(t *testing.T) {
	cfg := newPicturesConfig(t)
	root := filepath.Dir(cfg.Output.Directory)
	r := start(t, cfg)
	for _, name := range []string{"janedoe.jpg", "walk.jpg"} {
		still(t, filepath.Join(r.in, name), "testsrc2=size=160x120:rate=1:duration=1")
		r.awaitLog(t, "finished", name)
	}
	require.NoError(t, r.Shutdown(t.Context()))
	require.NoError(t, os.Remove(filepath.Join(r.in, "janedoe.jpg")))
	writeTelemetry(t, filepath.Join(root, "telemetry"), r.traces, r.logs, new(consumertest.MetricsSink))
	require.NotEmpty(t, mentions(t, root, []string{"janedoe"}))
	places, err := privacy.PlacesOf(cfg, "videoanonymizer", filepath.Join(root, "telemetry", "*.json"))
	require.NoError(t, err)
	done, err := privacy.Erase(t.Context(), places, "janedoe.jpg", "root", false)
	require.NoError(t, err)
	assert.Empty(t, done.Remaining)
	assert.Empty(t, mentions(t, root, []string{"janedoe"}))
	assert.Equal(t, []string{"walk_anonymized.jpg", "walk_anonymized.jpg.report.json"}, visible(t, r.out))
	assert.NotEmpty(t, mentions(t, root, []string{"walk"}))
}

// TestPicturesGuide checks that the examples in docs/pictures.md are valid and do what it says.
func TestPicturesGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/pictures.md")
	require.NoError(t, err)
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(guide, -1)
	require.Len(t, examples, 1)
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, examples[0][1], 0o600))
	loaded, err := config.Load(t.Context(), "", path)
	require.NoError(t, err)
	require.NoError(t, loaded.Validate())
	assert.True(t, loaded.Watch.Pictures)
	assert.Equal(t, 95, loaded.Output.WebPQuality)
	assert.Equal(t, 95, loaded.Output.JPEGQuality)

	cfg := newPicturesConfig(t)
	cfg.Output.Keep, cfg.Output.WebPQuality = loaded.Output.Keep, loaded.Output.WebPQuality
	r := start(t, cfg)
	temp := filepath.Join(t.TempDir(), "photo.jpg")
	still(t, temp, gray)
	file, err := os.ReadFile(temp)
	require.NoError(t, err)
	// EXIF with the tags DateTime and Make.
	exif := "Exif\x00\x00II*\x00\x08\x00\x00\x00\x02\x00\x0f\x01\x02\x00\x08\x00\x00\x00\x26\x00\x00\x00" +
		"\x32\x01\x02\x00\x14\x00\x00\x00\x2e\x00\x00\x00\x00\x00\x00\x00" + "MyMaker\x00" + "2026:11:29 12:00:00\x00"
	segment := string([]byte{0xff, 0xe1, 0, byte(len(exif) + 2)}) + exif
	tagged := string(file[:2]) + segment + string(file[2:])
	require.NoError(t, os.WriteFile(filepath.Join(r.in, "photo.jpg"), []byte(tagged), 0o600))
	r.awaitLog(t, "finished", "photo.jpg")
	require.NoError(t, r.Shutdown(t.Context()))
	written, err := os.ReadFile(filepath.Join(r.out, "photo_anonymized.jpg"))
	require.NoError(t, err)
	assert.Contains(t, string(written), "2026:11:29 12:00:00")
	assert.NotContains(t, string(written), "MyMaker")
}

// TestPicturesCanBeLeftAlone checks that, with watch::pictures off, only pictures that match a pattern with an
// extension are masked and deleted.
func TestPicturesCanBeLeftAlone(t *testing.T) {
	cfg := newPicturesConfig(t)
	cfg.Watch.Pictures = false
	cfg.Watch.StableFor = 10 * time.Millisecond
	cfg.Output.OnSuccess = watch.OnSuccessDelete
	in := filepath.Dir(cfg.Watch.Include[0])
	cfg.Watch.Include = append(cfg.Watch.Include, filepath.Join(in, "*.png"))
	left := []string{"left.jpg", "left.tif", "left.webp"}
	for _, name := range left {
		still(t, filepath.Join(in, name), gray)
	}
	still(t, filepath.Join(in, "taken.png"), gray) // the last to be taken
	r := start(t, cfg)
	require.Eventually(t, func() bool { return !exists(filepath.Join(in, "taken.png")) }, time.Minute, 10*time.Millisecond)
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Equal(t, left, visible(t, in))
	assert.Equal(t, []string{"taken_anonymized.png", "taken_anonymized.png.report.json"}, visible(t, r.out))
}

// TestHEICBesideItsJPEG checks that a HEIC file and a JPEG file of the same name are both anonymized. The second output
// gets a number.
func TestHEICBesideItsJPEG(t *testing.T) {
	r := start(t, newPicturesConfig(t))
	heic := heictest.Picture(t, image.NewGray(image.Rect(0, 0, 64, 48)), image.Point{}, heictest.Coding{})
	require.NoError(t, os.WriteFile(filepath.Join(r.in, "IMG_1.HEIC"), heic, 0o600))
	still(t, filepath.Join(r.in, "IMG_1.JPG"), gray)
	r.awaitLog(t, "finished", "IMG_1.HEIC")
	r.awaitLog(t, "finished", "IMG_1.JPG")
	require.NoError(t, r.Shutdown(t.Context()))
	names := []string{"IMG_1_anonymized.jpg", "IMG_1_anonymized-2.jpg"}
	assert.ElementsMatch(t, []string{names[0], names[0] + ".report.json", names[1], names[1] + ".report.json"},
		visible(t, r.out))
	var sizes []image.Point
	for _, name := range names {
		f, err := os.Open(filepath.Join(r.out, name))
		require.NoError(t, err)
		defer f.Close()
		config, err := jpeg.DecodeConfig(f)
		require.NoError(t, err)
		sizes = append(sizes, image.Pt(config.Width, config.Height))
	}
	assert.ElementsMatch(t, []image.Point{{64, 48}, {160, 120}}, sizes)
}

// TestSourceOfSeveralPicturesIsKept checks that a source with two views is kept despite on_success: delete, because its
// output contains only the first one.
func TestSourceOfSeveralPicturesIsKept(t *testing.T) {
	cfg := newPicturesConfig(t)
	cfg.Watch.StableFor = 10 * time.Millisecond
	cfg.Output.OnSuccess = watch.OnSuccessDelete
	r := start(t, cfg)
	plain, views := filepath.Join(r.in, "plain.jpg"), filepath.Join(r.in, "views.jpg")
	still(t, plain, "testsrc2=size=160x120:rate=1:duration=1")
	one, err := os.ReadFile(plain)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(views, append(slices.Clone(one), one...), 0o600))
	burst := heictest.Items(t, image.NewGray(image.Rect(0, 0, 64, 64)), image.Point{}, heictest.Coding{})
	shots := filepath.Join(r.in, "shots.heic")
	require.NoError(t, os.WriteFile(shots, heictest.File(append(burst, burst...), 1), 0o600))
	r.awaitLog(t, "finished", "views.jpg")
	r.awaitLog(t, "finished", "shots.heic")
	require.Eventually(t, func() bool { return !exists(plain) }, time.Minute, 10*time.Millisecond)
	require.NoError(t, r.Shutdown(t.Context()))
	assert.FileExists(t, views)
	assert.FileExists(t, shots)
	text, err := os.ReadFile(report.Path(filepath.Join(r.out, "views_anonymized.jpg")))
	require.NoError(t, err)
	var about report.About
	require.NoError(t, json.Unmarshal(text, &about))
	require.NotNil(t, about.Picture)
	assert.Len(t, about.Picture.LeftOut, 1)
}
