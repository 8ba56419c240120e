// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/extensionauth"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/oip/oiptest"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/oip/pb"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

// servedModels are the models that are used by default.
var servedModels = []string{
	"nanodet-m", "movenet-multipose", "blazeface", "facemesh-detection-full", "movenet-lightning",
}

// serve starts a server of all models, each wrapped by the given functions.
func serve(t testing.TB, opts oiptest.Options, wraps ...func(inference.Session) inference.Session) *oiptest.Server {
	t.Helper()
	const directory = "../../models" // filled by `make models`
	require.NoError(t, onnx.Initialize(models.RuntimeLibrary(directory)), "run `make models` first")
	opts.Models, opts.Versions = map[string]inference.Session{}, []string{"1"}
	for _, name := range servedModels {
		session, err := onnx.Open(filepath.Join(directory, name+".onnx"), onnx.Options{Parallel: 2})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, session.Close()) })
		opts.Models[name] = session
		for _, wrap := range wraps {
			opts.Models[name] = wrap(session)
		}
	}
	server := oiptest.New(opts)
	require.NoError(t, server.Start())
	t.Cleanup(server.Stop)
	return server
}

// newServedConfig searches videos with the default settings, on the server unless it is nil.
func newServedConfig(t *testing.T, server *oiptest.Server) *Config {
	t.Helper()
	cfg := newTestConfig(t)
	setRecall(t, cfg, "balanced")
	cfg.Detector.Survey.Enabled = true
	cfg.Output.SegmentLength = time.Second
	cfg.Retry.InitialInterval, cfg.Retry.MaxInterval, cfg.Retry.MaxAttempts = time.Millisecond, 10*time.Millisecond, 1
	if server != nil {
		cfg.Inference.Remote.Endpoint = server.Endpoint()
	}
	return cfg
}

// walkers puts a small clip of people, at 10 frames per second, into the watched directory.
func walkers(t *testing.T, r *running, seconds int) {
	t.Helper()
	const footage = "../../build/cache/footage/walk.mp4"
	require.FileExists(t, footage, "run `make footage` first")
	temp := filepath.Join(t.TempDir(), "walk.mp4")
	out, err := exec.Command("ffmpeg", "-v", "error", "-stream_loop", "-1", "-i", footage, "-t", strconv.Itoa(seconds),
		"-an", "-vf", "fps=10,scale=256:192", "-preset", "ultrafast", temp).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NoError(t, os.Rename(temp, filepath.Join(r.in, "walk.mp4")))
}

// anonymized waits for the output of the clip and returns its path.
func (r *running) anonymized(t *testing.T) string {
	t.Helper()
	output := filepath.Join(r.out, "walk_anonymized.mp4")
	require.Eventually(t, func() bool { return pathExists(output) }, 40*time.Minute, 20*time.Millisecond)
	r.awaitLog(t, "finished", "walk.mp4")
	return output
}

func pathExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// local anonymizes the clip with models in this process.
func local(t *testing.T, seconds int) string {
	t.Helper()
	r := start(t, newServedConfig(t, nil))
	walkers(t, r, seconds)
	output := r.anonymized(t)
	require.NoError(t, r.Shutdown(t.Context()))
	return output
}

func assertSameFile(t *testing.T, want, got string) {
	t.Helper()
	a, err := os.ReadFile(want)
	require.NoError(t, err)
	b, err := os.ReadFile(got)
	require.NoError(t, err)
	assert.True(t, string(a) == string(b), "%s is not %s", got, want)
}

// frames returns what the report says about each frame.
func frames(t *testing.T, output string) []map[string]any {
	t.Helper()
	text, err := os.ReadFile(report.Path(output))
	require.NoError(t, err)
	var read struct {
		Frames []map[string]any `json:"frames"`
	}
	require.NoError(t, json.Unmarshal(text, &read))
	return read.Frames
}

// TestServedOutputsAreTheLocalOnes checks that the place where models run makes no difference to any byte of the
// output, or to what the report says about its frames.
func TestServedOutputsAreTheLocalOnes(t *testing.T) {
	if testing.Short() {
		t.Skip("anonymizes clips of people")
	}
	want := local(t, 3)
	for name, tc := range map[string]struct {
		opts   oiptest.Options
		models []string
	}{
		"grpc":              {},
		"http":              {opts: oiptest.Options{HTTP: true}},
		"one model by grpc": {models: []string{"movenet-lightning"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, tc.opts)
			cfg := newServedConfig(t, server)
			cfg.Inference.Remote.Models = tc.models
			r := start(t, cfg)
			walkers(t, r, 3)
			got := r.anonymized(t)
			require.NoError(t, r.Shutdown(t.Context()))
			assertSameFile(t, want, got)
			assert.Equal(t, frames(t, want), frames(t, got))
			about := checkReport(t, got)
			for _, model := range about.Models {
				if len(tc.models) > 0 && model.Name != tc.models[0] {
					assert.Empty(t, model.Served, model.Name)
					continue
				}
				require.Len(t, model.Served, 1, model.Name)
				assert.Equal(t, "1", model.Served[0].Version)
				assert.Len(t, model.Served[0].Answer, 64)
			}
			answered, _ := server.Answered()
			assert.Greater(t, answered, 20)
		})
	}
}

// TestServedSpans checks that inference spans have the IDs that were sent to the servers, and name the server that
// answered.
func TestServedSpans(t *testing.T) {
	if testing.Short() {
		t.Skip("anonymizes clips of people")
	}
	for _, ratio := range []float64{1, 0.5, 0} {
		server := serve(t, oiptest.Options{})
		cfg := newServedConfig(t, server)
		cfg.Inference.Remote.TraceRatio = ratio
		r := start(t, cfg)
		walkers(t, r, 2)
		r.anonymized(t)
		require.NoError(t, r.Shutdown(t.Context()))
		spans := map[string]ptrace.Span{}
		for _, name := range []string{"person_detection", "pose_estimation", "process_single_frame"} {
			for _, span := range r.spans(name) {
				spans[span.TraceID().String()+span.SpanID().String()] = span
			}
		}
		made := map[string]bool{}
		for _, span := range r.spans("inference") {
			parent, ok := spans[span.TraceID().String()+span.ParentSpanID().String()]
			require.True(t, ok)
			_, ok = spans[span.TraceID().String()+parent.ParentSpanID().String()]
			require.True(t, ok, "all spans of a frame have one trace")
			made["00-"+span.TraceID().String()+"-"+span.SpanID().String()+"-01"] = true
			attrs := span.Attributes().AsRaw()
			assert.Equal(t, server.Address(), fmt.Sprintf("%v:%v", attrs["server.address"], attrs["server.port"]))
			assert.Equal(t, "grpc", attrs["rpc.system.name"])
			assert.Equal(t, "inference.GRPCInferenceService/ModelInfer", attrs["rpc.method"])
			assert.Equal(t, "1", attrs["anonymizer.model.version"])
			assert.Len(t, attrs["anonymizer.model.answer"], 64)
			assert.Equal(t, ptrace.SpanKindClient, span.Kind())
		}
		require.NotEmpty(t, made)
		told := map[string]bool{}
		for _, parent := range server.TraceParents() {
			told[parent] = true
			assert.True(t, made[parent], "%s is the span of no inference", parent)
		}
		switch ratio {
		case 1:
			assert.Len(t, told, len(made), "each span of inferences had a request")
		case 0:
			assert.Empty(t, told)
		default:
			assert.NotEmpty(t, told)
			assert.Less(t, len(told), len(made))
		}
	}
}

// outages are the ways in which a server can fail, as faults of its answers.
var outages = map[string]oiptest.Fault{
	"an error":    func(context.Context, string, *pb.ModelInferResponse) error { return errors.New("broken") },
	"no answer":   func(ctx context.Context, _ string, _ *pb.ModelInferResponse) error { <-ctx.Done(); return ctx.Err() },
	"wrong shape": reply(func(r *pb.ModelInferResponse) { r.Outputs[0].Shape[0]++ }),
	"half":        reply(func(r *pb.ModelInferResponse) { r.RawOutputContents[0] = r.RawOutputContents[0][:8] }),
	"no outputs":  reply(func(r *pb.ModelInferResponse) { r.Outputs, r.RawOutputContents = nil, nil }),
	"NaN": reply(func(r *pb.ModelInferResponse) {
		bits := math.Float32bits(float32(math.NaN()))
		copy(r.RawOutputContents[0], []byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)})
	}),
}

func reply(do func(*pb.ModelInferResponse)) oiptest.Fault {
	return func(_ context.Context, _ string, r *pb.ModelInferResponse) error { do(r); return nil }
}

// TestOutageNeitherMasksNorPublishes checks that a video waits while a server fails, however often it is tried: nothing
// is published, and no frame is masked whole. Once the server is back, the output is the same as without the outage.
func TestOutageNeitherMasksNorPublishes(t *testing.T) {
	if testing.Short() {
		t.Skip("anonymizes clips of people")
	}
	want := local(t, 2)
	all := map[string]func(server *oiptest.Server, begin bool){
		"stopped": func(server *oiptest.Server, begin bool) {
			if begin {
				server.Stop()
			} else {
				require.NoError(t, server.Start())
			}
		},
	}
	for name, fault := range outages {
		all[name] = func(server *oiptest.Server, begin bool) {
			if begin {
				server.Fail(fault)
			} else {
				server.Fail(nil)
			}
		}
	}
	for name, outage := range all {
		t.Run(name, func(t *testing.T) {
			server := serve(t, oiptest.Options{})
			cfg := newServedConfig(t, server)
			if name == "no answer" {
				cfg.Inference.Remote.Timeout = 3 * time.Second // for a busy machine
			}
			r := start(t, cfg)
			outage(server, true)
			walkers(t, r, 2)
			if name != "stopped" { // while stopped, nothing is tried
				interrupted := r.awaitLog(t, "interrupted", "walk.mp4")
				reason, _ := interrupted.Attributes().Get("error.type")
				assert.Equal(t, "inference_unavailable", reason.Str())
			}
			time.Sleep(500 * time.Millisecond)
			assert.Empty(t, visible(t, r.out))
			outage(server, false)
			got := r.anonymized(t)
			require.NoError(t, r.Shutdown(t.Context()))
			assertSameFile(t, want, got)
			for _, frame := range r.spans("process_single_frame") {
				_, whole := frame.Attributes().Get("anonymizer.frame.masked_whole")
				assert.False(t, whole)
			}
		})
	}
}

// TestRandomOutages checks that a server that fails repeatedly, in every way, only delays a video.
func TestRandomOutages(t *testing.T) {
	if testing.Short() {
		t.Skip("anonymizes clips of people")
	}
	rounds := 6
	if text := os.Getenv("OUTAGE_ROUNDS"); text != "" {
		var err error
		rounds, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	seconds := 6 + rounds/10
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's outages
	want := local(t, seconds)

	server := serve(t, oiptest.Options{HTTP: random.IntN(2) == 0})
	cfg := newServedConfig(t, server)
	cfg.Inference.Remote.Timeout = 3 * time.Second // for a busy machine
	kinds := []oiptest.Fault{nil}                  // the server stops
	for _, name := range []string{"an error", "no answer", "wrong shape", "half", "no outputs", "NaN"} {
		kinds = append(kinds, outages[name])
	}
	var mu sync.Mutex
	var restarts sync.WaitGroup
	defer restarts.Wait()
	left, next, kind, ends := rounds, 20, 0, time.Time{}
	server.Fail(func(ctx context.Context, model string, r *pb.ModelInferResponse) error {
		mu.Lock()
		failing := time.Now().Before(ends)
		if !failing {
			next--
		}
		if next == 0 && left > 0 {
			left--
			next, kind = 10+random.IntN(50), random.IntN(len(kinds))
			ends, failing = time.Now().Add(time.Duration(50+random.IntN(400))*time.Millisecond), kind > 0
			if kind == 0 {
				restarts.Go(func() {
					server.Stop()
					time.Sleep(time.Until(ends))
					assert.NoError(t, server.Start())
				})
			}
		}
		fault := kinds[kind]
		mu.Unlock()
		if failing && fault != nil {
			return fault(ctx, model, r)
		}
		return nil
	})
	r := start(t, cfg)
	walkers(t, r, seconds)
	got := r.anonymized(t)
	require.NoError(t, r.Shutdown(t.Context()))
	mu.Lock()
	defer mu.Unlock()
	assert.Zero(t, left, "outages that the video was too short for")
	assertSameMasks(t, want, got)
}

// assertSameMasks compares what the reports say about each frame. Masks of a resumed video may be off by fractions of a
// pixel, see checkBoundary.
func assertSameMasks(t *testing.T, want, got string) {
	t.Helper()
	a, b := frames(t, want), frames(t, got)
	require.Len(t, b, len(a))
	for i := range a {
		for _, key := range []string{"frame", "time_s", "masked_whole"} {
			assert.Equal(t, a[i][key], b[i][key], "frame %d: %s", i, key)
		}
		x, _ := a[i]["masks"].([]any)
		y, _ := b[i]["masks"].([]any)
		assert.Len(t, y, len(x), "masks of frame %d", i)
	}
}

// other is a model whose answers differ slightly, as on other hardware.
type other struct{ inference.Session }

func (o other) Run(ctx context.Context, inputs []inference.Tensor, read func([]inference.Tensor) error) error {
	return o.Session.Run(ctx, inputs, func(outputs []inference.Tensor) error {
		for _, out := range outputs {
			for i := range out.Float32 {
				out.Float32[i] *= 1.0001
			}
		}
		return read(outputs)
	})
}

// TestChangedModelRestarts checks that a video restarts from the beginning if its models change while it is processed,
// even if the new ones are as good.
func TestChangedModelRestarts(t *testing.T) {
	if testing.Short() {
		t.Skip("anonymizes clips of people")
	}
	server := serve(t, oiptest.Options{})
	cfg := newServedConfig(t, server)
	r := start(t, cfg)
	walkers(t, r, 30) // long enough that frames are left to analyze when the first ones are written
	require.Eventually(t, func() bool { return len(checkpoints(t, r.out)) > 0 }, time.Minute, 5*time.Millisecond)
	server.Fail(outages["an error"])
	r.awaitLog(t, "interrupted", "walk.mp4")
	session, err := onnx.Open("../../models/movenet-lightning.onnx", onnx.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, session.Close()) })
	server.Load("movenet-lightning", other{session})
	server.Stop() // a lasting connection would be to the same server
	server.Fail(nil)
	require.NoError(t, server.Start())
	output := r.anonymized(t)
	require.NoError(t, r.Shutdown(t.Context()))
	finished := r.awaitLog(t, "finished", "walk.mp4")
	_, resumed := finished.Attributes().Get("anonymizer.video.frames_resumed")
	assert.False(t, resumed)
	for _, model := range checkReport(t, output).Models {
		assert.Len(t, model.Served, 1)
	}
}

// TestReplacedModel checks that a server can replace a model unnoticed while connections last, but only until the video
// is complete: then it is not published, but processed again.
func TestReplacedModel(t *testing.T) {
	if testing.Short() {
		t.Skip("anonymizes clips of people")
	}
	server := serve(t, oiptest.Options{})
	session, err := onnx.Open("../../models/movenet-lightning.onnx", onnx.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, session.Close()) })
	cfg := newServedConfig(t, server)
	cfg.Output.SegmentLength = time.Minute // so that nothing checks the models earlier
	r := start(t, cfg)
	server.Load("movenet-lightning", other{session})
	walkers(t, r, 2)
	interrupted := r.awaitLog(t, "interrupted", "walk.mp4")
	reason, _ := interrupted.Attributes().Get("error.type")
	assert.Equal(t, "inference_unavailable", reason.Str())
	checkReport(t, r.anonymized(t))
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Len(t, r.spans("process_single_frame"), 40, "20 frames, twice")
}

// wrong is a model whose answers have the right shape, but are all zero.
type wrong struct{ inference.Session }

func (w wrong) Run(ctx context.Context, inputs []inference.Tensor, read func([]inference.Tensor) error) error {
	return w.Session.Run(ctx, inputs, func(outputs []inference.Tensor) error {
		for _, out := range outputs {
			clear(out.Float32)
		}
		return read(outputs)
	})
}

// TestNothingOfAWrongModelIsKept checks that a video does not resume from the answers of a wrong model, which a server
// loaded while connections lasted, once the right model is back.
func TestNothingOfAWrongModelIsKept(t *testing.T) {
	if testing.Short() {
		t.Skip("anonymizes clips of people")
	}
	want := local(t, 3)
	server := serve(t, oiptest.Options{})
	session, err := onnx.Open("../../models/movenet-lightning.onnx", onnx.Options{Parallel: 2})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, session.Close()) })
	r := start(t, newServedConfig(t, server))
	server.Load("movenet-lightning", wrong{session})
	walkers(t, r, 3)
	r.awaitLog(t, "interrupted", "walk.mp4")
	assert.Empty(t, checkpoints(t, r.out))
	server.Load("movenet-lightning", session)
	got := r.anonymized(t)
	require.NoError(t, r.Shutdown(t.Context()))
	finished := r.awaitLog(t, "finished", "walk.mp4")
	_, resumed := finished.Attributes().Get("anonymizer.video.frames_resumed")
	assert.False(t, resumed)
	assertSameFile(t, want, got)
}

// authenticator is an extension that authenticates clients, like bearertokenauth.
type authenticator struct {
	component.StartFunc
	component.ShutdownFunc
	extensionauth.ClientRoundTripperFunc
	extensionauth.ClientPerRPCCredentialsFunc
}

// extensions is a host with the given extensions.
type extensions map[component.ID]component.Component

func (e extensions) GetExtensions() map[component.ID]component.Component { return e }

func TestServersNeedTheirAuthenticator(t *testing.T) {
	id := component.MustNewID("bearertokenauth")
	cfg := newTestConfig(t)
	cfg.Inference.Remote.Endpoint, cfg.Inference.Remote.Auth = "https://triton:8000", &id
	r, err := newReceiver(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	_, err = r.servers(extensions{}, &health{})
	require.ErrorContains(t, err, "inference::remote::auth: there is no extension bearertokenauth")
	_, err = r.servers(extensions{id: struct {
		component.StartFunc
		component.ShutdownFunc
	}{}}, &health{})
	require.ErrorContains(t, err, "does not authenticate clients")
	remote, err := r.servers(extensions{id: authenticator{}}, &health{})
	require.NoError(t, err)
	assert.NotNil(t, remote.Authenticate)
}

// TestHealth checks that the status of one part does not hide the status of another.
func TestHealth(t *testing.T) {
	var last error
	h := &health{report: func(err error) { last = err }}
	disk, server := errors.New("disk"), errors.New("server")
	h.watching(disk)
	h.serving(server)
	require.ErrorIs(t, last, disk)
	require.ErrorIs(t, last, server)
	h.watching(nil)
	assert.NotErrorIs(t, last, disk)
	require.ErrorIs(t, last, server)
	h.serving(nil)
	assert.NoError(t, last)
}
