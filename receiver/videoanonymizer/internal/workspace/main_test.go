// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ann      = consoleapi.Actor{Name: "Ann", Role: consoleapi.RoleReview}
	operator = consoleapi.Actor{Name: "operator", Role: consoleapi.RoleOperator}
)

// rig is a workspace on real folders, whose videos a test creates.
type rig struct {
	*Workspace
	t       testing.TB
	in, out string
	shown   atomic.Pointer[Workspace]
	watcher *watch.Watcher
	emitter *telemetry.Emitter
	// found is what a second look finds in each frame of its sample, frames 0 and 10.
	found []mask.Head
	// mode is the mode of the files next to the outputs.
	mode os.FileMode
}

func newRig(t testing.TB) *rig {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	r := &rig{t: t, in: filepath.Join(root, "in"), out: filepath.Join(root, "out")}
	require.NoError(t, os.Mkdir(r.in, 0o755))
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *rig) start() {
	r.t.Helper()
	config := watch.NewDefaultConfig()
	config.Include, config.PollInterval, config.StableFor = []string{r.in + "/*"}, 10*time.Millisecond, 0
	watcher, err := watch.New(watch.Options{
		Config: config, OutputDirectory: r.out, Workers: 1, Logger: zaptest.NewLogger(r.t),
		OutputName: func(rel string) string { return "anonymized_" + rel },
		Companions: func(output string) []string {
			return []string{report.Path(output), report.SheetPath(output), audit.ApprovalPath(output)}
		},
		Changed: func() {
			if w := r.shown.Load(); w != nil {
				w.Notify()
			}
		},
	})
	require.NoError(r.t, err)
	require.NoError(r.t, watcher.Start())
	r.watcher = watcher
	tools, err := foundTools()
	require.NoError(r.t, err)
	recent := telemetry.NewRecent()
	r.emitter, err = telemetry.NewEmitter(receivertest.NewNopSettings(component.MustNewType("videoanonymizer")),
		telemetry.Options{ServiceName: "test", Recent: recent}, telemetry.Consumers{})
	require.NoError(r.t, err)
	r.Workspace, err = New(Options{
		Receiver: "videoanonymizer", Watcher: watcher, Emitter: r.emitter, Recent: recent, Tools: tools,
		Directory: filepath.Join(r.out, watch.StateDirectoryName, audit.DirectoryName), OutputDirectory: r.out,
		FileMode: r.mode, Logger: zaptest.NewLogger(r.t),
		SecondLook: func(_ context.Context, _ string, _ []float64, use func(int, []mask.Head)) (int, error) {
			use(0, r.found)
			use(10, r.found)
			return 2, nil
		},
	})
	require.NoError(r.t, err)
	r.shown.Store(r.Workspace)
}

func (r *rig) stop() {
	require.NoError(r.t, r.Close())
	require.NoError(r.t, r.watcher.Stop(context.Background()))
	require.NoError(r.t, r.emitter.Shutdown(context.Background()))
}

// restart stops everything cleanly and starts it again.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.start()
}

var foundTools = sync.OnceValues(func() (media.Tools, error) { return media.FindTools("", "") })

// pattern generates a video of 25 frames; the arguments of an encoder follow it.
const pattern = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=1 "

// drop puts a file into the watched folder and claims it.
func (r *rig) drop(name string) *watch.Job {
	r.t.Helper()
	require.NoError(r.t, os.WriteFile(filepath.Join(r.in, name), []byte("source of "+name), 0o600))
	return r.next()
}

func (r *rig) next() *watch.Job {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	job, err := r.watcher.Next(ctx)
	require.NoError(r.t, err)
	return job
}

// make publishes an output with a report: 25 frames with a mask at 100..140, 50..90.
func (r *rig) make(name, codec string) consoleapi.RevisionID {
	r.t.Helper()
	job := r.drop(name)
	makeVideo(r.t, job.Temp, codec)
	recorder, err := report.NewRecorder(job.TempFor(".frames.json"))
	require.NoError(r.t, err)
	defer recorder.Close()
	for i := range 25 {
		rec := &record.Frame{Index: i, PTS: time.Duration(i) * 40 * time.Millisecond, Analyzed: true, People: 1,
			Heads: []mask.Head{{X: 120, Y: 70, RX: 20, RY: 20, Score: 0.5 + float32(i)/100, Origin: mask.OriginPose}}}
		require.NoError(r.t, recorder.Add(rec))
	}
	output, err := report.Identify(r.t.Context(), job.Temp)
	require.NoError(r.t, err)
	output.Name = filepath.Base(job.Output)
	about := report.About{Output: output, Settings: report.Settings{Shape: "ellipse", Scale: 1, Fill: "solid",
		Regions: []report.Region{}}}
	require.NoError(r.t, recorder.Write(job.TempFor(".report.json"), about))
	sheet := job.TempFor(".review.jpg")
	require.NoError(r.t, report.WriteSheet(r.t.Context(), r.opts.Tools, job.Temp, sheet, recorder.Weakest(), 1))
	require.NoError(r.t, job.Publish(watch.Companion{Temp: job.TempFor(".report.json"), Path: report.Path(job.Output)},
		watch.Companion{Temp: sheet, Path: report.SheetPath(job.Output)}))
	require.NoError(r.t, job.Done())
	r.Worked(job.Path)
	return consoleapi.RevisionID{Video: r.video(name).ID, Revision: "r1"}
}

func makeVideo(t testing.TB, path, codec string) {
	t.Helper()
	args := append([]string{"-v", "error", "-nostdin", "-y"}, splitArgs(pattern+codec)...)
	out, err := exec.Command("ffmpeg", append(args, path)...).CombinedOutput()
	require.NoError(t, err, string(out))
}

// video returns the video with a name.
func (r *rig) video(name string) consoleapi.Video {
	r.t.Helper()
	r.Notify()
	all, err := r.Videos(r.t.Context(), false)
	require.NoError(r.t, err)
	for _, v := range all {
		if v.Name == name {
			return v
		}
	}
	r.t.Fatalf("there is no video %s in %v", name, all)
	return consoleapi.Video{}
}

// looked waits until the second look has ended.
func (r *rig) looked(id consoleapi.RevisionID) consoleapi.Moments {
	r.t.Helper()
	var m consoleapi.Moments
	require.Eventually(r.t, func() bool {
		var err error
		m, err = r.Moments(r.t.Context(), id)
		require.NoError(r.t, err)
		return m.SecondLook.State == consoleapi.LookDone
	}, 10*time.Second, 5*time.Millisecond)
	return m
}
