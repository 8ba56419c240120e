// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/batch"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
)

const modelsDirectory = "../../../../models" // filled by `make models`

// quick makes a run search frames as little as possible.
var quick = []string{"--config", "yaml:receivers::videoanonymizer: {recall: thorough, detect_every: 3, " +
	"detector: {survey: {enabled: false}}, output: {preset: ultrafast}}"}

// footage creates a folder with videos of nobody and with other files.
func footage(t *testing.T, seconds string, names ...string) string {
	t.Helper()
	folder, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	for _, name := range names {
		path := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if strings.HasSuffix(name, ".mp4") || strings.HasSuffix(name, ".mkv") {
			out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i",
				"color=gray:size=320x240:rate=25:duration="+seconds, path).CombinedOutput()
			require.NoError(t, err, "%s", out)
		} else {
			require.NoError(t, os.WriteFile(path, []byte("no video"), 0o600))
		}
	}
	return folder
}

// line is a line of JSON output.
type line struct {
	File    *batch.Result
	Summary *runSummary
}

// runJSON runs the command, validates its output lines against their schema, and returns them and the exit status.
func runJSON(ctx context.Context, t *testing.T, args ...string) (status int, files map[string]batch.Result,
	all runSummary) {
	t.Helper()
	models, err := filepath.Abs(modelsDirectory)
	require.NoError(t, err)
	var stdout, stderr bytes.Buffer
	args = append(append([]string{"anonymizerctl", "run", "--json", "--models", models}, quick...), args...)
	status = run(ctx, args, &stdout, &stderr)
	schema, err := jsonschema.NewCompiler().Compile("../../run.schema.json")
	require.NoError(t, err)
	files = map[string]batch.Result{}
	for text := range strings.Lines(stdout.String()) {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		require.NoError(t, err)
		require.NoError(t, schema.Validate(document), text)
		var l line
		require.NoError(t, json.Unmarshal([]byte(text), &l))
		if l.File != nil {
			files[filepath.Base(l.File.Source)] = *l.File
		} else {
			all = *l.Summary
		}
	}
	require.NotNil(t, all.Files, "a summary; standard error has: %s", stderr.String())
	return status, files, all
}

// snapshot returns the names, times and digests of the files in a folder.
func snapshot(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		info, err := entry.Info()
		require.NoError(t, err)
		all[path] = fmt.Sprintf("%x %s %s", sha256.Sum256(text), info.Mode(), info.ModTime())
		return nil
	}))
	return all
}

func outcomesOf(files map[string]batch.Result) map[string]batch.Outcome {
	got := map[string]batch.Outcome{}
	for name, r := range files {
		got[name] = r.Outcome
	}
	return got
}

func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	in := footage(t, "1", "walk.mp4", "ward/bed.mkv", "bad.mp4.txt", "odd[1].mkv", "half.mp4.part")
	bad := filepath.Join(in, "bad.mp4")
	require.NoError(t, os.Rename(bad+".txt", bad))
	require.NoError(t, os.WriteFile(filepath.Join(in, "notes.txt"), nil, 0o600))
	before := snapshot(t, in)
	out := filepath.Join(t.TempDir(), "out")

	status, files, all := runJSON(t.Context(), t, in, "-o", out, "--dry-run")
	assert.Equal(t, 1, status)
	assert.Equal(t, map[string]batch.Outcome{"walk.mp4": batch.Planned, "odd[1].mkv": batch.Planned,
		"bad.mp4": batch.Failed, "half.mp4.part": batch.Skipped, "notes.txt": batch.Skipped}, outcomesOf(files))
	assert.Equal(t, &batch.Video{Codec: "h264", Width: 320, Height: 240, FrameRate: 25, Duration: 1, Frames: 25},
		files["walk.mp4"].Video)
	assert.Equal(t, "not_video", files["bad.mp4"].Reason)
	assert.Equal(t, 25, all.SampledFrames)
	assert.Equal(t, 1, all.SampledVideos)
	assert.Positive(t, all.Seconds)
	assert.NoDirExists(t, out, "a dry run writes nothing")

	status, files, all = runJSON(t.Context(), t, in, "-o", out)
	assert.Equal(t, 1, status)
	assert.Equal(t, map[string]batch.Outcome{"walk.mp4": batch.Done, "odd[1].mkv": batch.Done, "bad.mp4": batch.Failed,
		"half.mp4.part": batch.Skipped, "notes.txt": batch.Skipped}, outcomesOf(files))
	assert.Equal(t, map[batch.Outcome]int{batch.Done: 2, batch.Failed: 1, batch.Skipped: 2}, all.Files)
	walk := files["walk.mp4"]
	assert.Equal(t, filepath.Join(out, "walk_anonymized.mp4"), walk.Output)
	assert.FileExists(t, walk.Output)
	assert.FileExists(t, walk.Report)
	assert.FileExists(t, walk.ContactSheet)
	assert.Equal(t, 25, walk.Frames)
	assert.True(t, walk.NobodyFound)
	assert.Positive(t, walk.Seconds)
	assert.Equal(t, before, snapshot(t, in), "sources are as they were")
	outputs := snapshot(t, out)

	// Finished videos are left alone. Missing outputs are produced again, and all of them with --again.
	status, files, _ = runJSON(t.Context(), t, in, "-o", out, "-r")
	assert.Equal(t, 1, status)
	assert.Equal(t, map[string]batch.Outcome{"walk.mp4": batch.AlreadyDone, "odd[1].mkv": batch.AlreadyDone,
		"bed.mkv": batch.Done, "bad.mp4": batch.Failed, "half.mp4.part": batch.Skipped, "notes.txt": batch.Skipped},
		outcomesOf(files))
	assert.Equal(t, filepath.Join(out, "ward", "bed_anonymized.mkv"), files["bed.mkv"].Output)
	after := snapshot(t, out)
	for path := range outputs {
		if !strings.Contains(path, ".otelcol-anonymizer") {
			assert.Equal(t, outputs[path], after[path], "nothing is replaced")
		}
	}
	require.NoError(t, os.Remove(walk.Output))
	source := filepath.Join(in, "walk.mp4")
	status, files, _ = runJSON(t.Context(), t, source, "-o", out)
	assert.Zero(t, status)
	assert.Equal(t, batch.Done, files["walk.mp4"].Outcome)
	first := files["walk.mp4"].Output
	status, files, _ = runJSON(t.Context(), t, source, "-o", out, "--again")
	assert.Zero(t, status)
	assert.Equal(t, batch.Done, files["walk.mp4"].Outcome)
	assert.NotEqual(t, first, files["walk.mp4"].Output)
	assert.FileExists(t, first)
}

// TestRunResumes interrupts a run in the middle of a video, and checks that no output is published, and that the same
// command completes it.
func TestRunResumes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	in := footage(t, "8", "walk.mp4")
	out := filepath.Join(t.TempDir(), "out")
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		defer interrupt()
		for ctx.Err() == nil {
			if written, _ := filepath.Glob(filepath.Join(out, ".anonymizing-*")); len(written) > 0 {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	status, files, _ := runJSON(ctx, t, in, "-o", out)
	require.Equal(t, batch.Interrupted, files["walk.mp4"].Outcome)
	assert.Equal(t, exitError, status)
	visible, err := filepath.Glob(filepath.Join(out, "[^.]*"))
	require.NoError(t, err)
	assert.Empty(t, visible)
	status, files, _ = runJSON(t.Context(), t, in, "-o", out)
	assert.Zero(t, status)
	assert.Equal(t, 200, files["walk.mp4"].Frames)
}

// TestRunLeavesOutWhatIsWritten checks that a file that is still being written is skipped and does not hold up the
// others.
func TestRunLeavesOutWhatIsWritten(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	in := footage(t, "0.2", "walk.mp4", "live.mp4")
	live, err := os.OpenFile(filepath.Join(in, "live.mp4"), os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	defer live.Close()
	status, files, _ := runJSON(t.Context(), t, in, "-o", filepath.Join(t.TempDir(), "out"))
	assert.Equal(t, 1, status)
	assert.Equal(t, map[string]batch.Outcome{"walk.mp4": batch.Done, "live.mp4": batch.Skipped}, outcomesOf(files))
	assert.Equal(t, batch.ReasonIncomplete, files["live.mp4"].Reason)
}

func TestRunRefuses(t *testing.T) {
	in := footage(t, "0.2", "walk.mp4", "notes.txt")
	walk := filepath.Join(in, "walk.mp4")
	twice := filepath.Join(t.TempDir(), "twice.yaml")
	require.NoError(t, os.WriteFile(twice, []byte("receivers: {videoanonymizer/a: {}, videoanonymizer/b: {}}"), 0o600))
	tests := map[string]struct {
		args []string
		says string
	}{
		"no input":       {[]string{"-o", "out"}, "requires at least 1 arg"},
		"no output":      {[]string{walk}, "specify the folder for the outputs with -o"},
		"output is file": {[]string{walk, "-o", walk}, "is a file: outputs go into a folder"},
		"output as file": {[]string{walk, "-o", "out.mp4"}, "outputs go into a folder"},
		"missing input":  {[]string{filepath.Join(in, "none.mp4"), "-o", "out"}, "no such file"},
		"empty folder":   {[]string{t.TempDir(), "-o", "out"}, "there is no video to anonymize"},
		"missing config": {[]string{walk, "-o", "out", "--config", "none.yaml"}, "none.yaml"},
		"several": {[]string{walk, "-o", "out", "--config", twice},
			"choose one of videoanonymizer/a, videoanonymizer/b"},
		"no such": {[]string{walk, "-o", "out", "--config", twice, "--receiver", "videoanonymizer/c"},
			"choose one of"},
		"no receiver": {[]string{walk, "-o", "out", "--config", "yaml:receivers::otlp:"}, "there is no videoanonymizer"},
		"wrong key":   {[]string{walk, "-o", "out", "--config", "yaml:receivers::videoanonymizer::recal: fast"}, "recal"},
		"wrong value": {[]string{walk, "-o", "out", "--config", "yaml:receivers::videoanonymizer::recall: most"},
			"recall: \"most\""},
		"missing models": {[]string{walk, "-o", "out", "--models", t.TempDir()}, "make models"},
		"no videos there": {[]string{filepath.Join(in, "notes.txt"), "-o", "out", "--models", abs(t, modelsDirectory)},
			"no video was anonymized"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			var stdout, stderr bytes.Buffer
			args := append([]string{"anonymizerctl", "run"}, test.args...)
			assert.Equal(t, exitError, run(t.Context(), args, &stdout, &stderr))
			assert.Contains(t, stderr.String(), test.says)
		})
	}
}

func abs(t *testing.T, path string) string {
	path, err := filepath.Abs(path)
	require.NoError(t, err)
	return path
}

// TestRunOnTerminal checks that progress is drawn only on a terminal, and that results remain legible.
func TestRunOnTerminal(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	keyboard, terminal := openTerminal(t)
	var shown bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = shown.ReadFrom(keyboard) // returns an error once the terminal is closed
	}()
	in := footage(t, "8", "walk.mp4")
	var stdout bytes.Buffer
	args := append([]string{"anonymizerctl", "run", in, "-o", filepath.Join(t.TempDir(), "out"), "--models",
		abs(t, modelsDirectory)}, quick...)
	assert.Zero(t, run(t.Context(), args, &stdout, terminal))
	require.NoError(t, terminal.Close())
	<-read
	assert.Regexp(t, `\r\x1b\[Kwalk\.mp4 \[=* *\] \d+ %`, shown.String())
	assert.Regexp(t, `(?s)^done: .*walk\.mp4 -> .*walk_anonymized\.mp4 \(200 frames, 0 masks.*1 done, in `,
		stdout.String())
	assert.NotContains(t, stdout.String(), "\x1b")
}

// openTerminal returns both ends of a pseudo-terminal.
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { keyboard.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	return keyboard, terminal
}

// TestRunGuide runs the commands in docs/run.md with the configuration there.
func TestRunGuide(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	guide, err := os.ReadFile("../../../../docs/run.md")
	require.NoError(t, err)
	folder := footage(t, "0.4", "footage/walk.mp4")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "ward.yaml"), fenced(t, guide, "yaml"), 0o600))
	require.NoError(t, os.Symlink(abs(t, modelsDirectory), filepath.Join(folder, "models")))
	t.Chdir(folder)
	var outputs []string
	for command := range strings.Lines(string(fenced(t, guide, "sh"))) {
		command, _, _ = strings.Cut(command, " #")
		var stdout, stderr bytes.Buffer
		assert.Zero(t, run(t.Context(), strings.Fields(command), &stdout, &stderr), "%s\n%s", command, stderr.String())
		outputs = append(outputs, stdout.String())
	}
	require.Len(t, outputs, 4)
	assert.Contains(t, outputs[0], "1 to do; about ")
	assert.Contains(t, outputs[1], "walk.mp4 -> "+filepath.Join(folder, "anonymized", "walk_anonymized.mp4"))
	assert.Contains(t, outputs[2], "done before: ")
	codec, err := exec.Command("ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0",
		filepath.Join(folder, "thorough", "walk_anonymized.mp4")).Output()
	require.NoError(t, err)
	assert.Equal(t, "hevc\n", string(codec), "as the configuration says")
}

// fenced returns the first fenced block of a document in the given language.
func fenced(t *testing.T, document []byte, language string) []byte {
	t.Helper()
	block := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```").FindSubmatch(document)
	require.NotNil(t, block, "a block of %s", language)
	return block[1]
}

// TestFailureNamesFileOnce checks that the message about a failure contains path and cause only once.
func TestFailureNamesFileOnce(t *testing.T) {
	said := new(runOutput).describe(batch.Result{Outcome: batch.Failed, Source: "/in/a b.jpg", Reason: "damaged",
		Error: `"/in/a b.jpg": damaged: it has no end`})
	assert.Equal(t, "failed: /in/a b.jpg: damaged: it has no end", said)
}

// TestProgressOfPictures checks that progress on pictures, which have no frames to count, is shown as the number of
// finished files.
func TestProgressOfPictures(t *testing.T) {
	var said bytes.Buffer
	s := &screen{stderr: &said}
	picture := work{Key: "/in/a.heic", Progress: telemetry.Progress{Done: -1, Remaining: -1}}
	s.progress([]work{picture}, 7, time.Now())
	assert.Equal(t, "7 files done, 0.0 s\n", said.String())

	said.Reset()
	s.last = time.Time{}
	s.progress([]work{picture, {Key: "/in/b.mp4", Progress: telemetry.Progress{Done: 0.5, Remaining: -1}}}, 7, time.Now())
	assert.Equal(t, "b.mp4 50 %\n", said.String())
}
