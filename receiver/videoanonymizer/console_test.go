// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
)

// testConsole is a console that shows nothing.
type testConsole struct {
	component.StartFunc
	component.ShutdownFunc
	attached consoleapi.Workspace
	detached bool
}

func (c *testConsole) Attach(_ component.ID, w consoleapi.Workspace) (func(context.Context) error, error) {
	c.attached = w
	return func(context.Context) error { c.detached = true; return nil }, nil
}

// testHost is a host with the given extensions.
type testHost map[component.ID]component.Component

func (h testHost) GetExtensions() map[component.ID]component.Component { return h }

var consoleID = component.MustNewID("anonymizer_console")

func TestConsoleMissing(t *testing.T) {
	other := struct {
		component.StartFunc
		component.ShutdownFunc
	}{}
	for name, test := range map[string]struct {
		host testHost
		want string
	}{
		"no such extension": {testHost{}, `there is no extension "anonymizer_console": add it to extensions`},
		"no console":        {testHost{consoleID: other}, `the extension "anonymizer_console" is not a console`},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := newTestConfig(t)
			cfg.Console = &consoleID
			r, err := newReceiver(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg)
			require.NoError(t, err)
			require.ErrorContains(t, r.Start(t.Context(), test.host), test.want)
			require.NoError(t, r.Shutdown(t.Context()))
		})
	}
}

func TestConsole(t *testing.T) {
	cfg := newTestConfig(t)
	cfg.Console = &consoleID
	r, err := newReceiver(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	console := &testConsole{}
	require.NoError(t, r.Start(t.Context(), testHost{consoleID: console}))
	w := console.attached
	require.NotNil(t, w)
	path := filepath.Join(filepath.Dir(cfg.Watch.Include[0]), "long.mp4")
	clip(t, path, "-i", "color=gray:size=320x240:rate=25:duration=20")
	operator := consoleapi.Actor{Name: "operator", Role: consoleapi.RoleOperator}
	state := func() consoleapi.Video {
		videos, err := w.Videos(t.Context(), false)
		require.NoError(t, err)
		if len(videos) == 0 {
			return consoleapi.Video{}
		}
		return videos[0]
	}
	await := func(want consoleapi.State) consoleapi.Video {
		require.Eventually(t, func() bool { return state().State == want }, time.Minute, 5*time.Millisecond, "%s", want)
		return state()
	}
	v := await(consoleapi.StateWorking)
	_, err = w.Control(t.Context(), operator, v.ID, consoleapi.ActionPause)
	require.NoError(t, err)
	await(consoleapi.StatePaused)
	_, err = w.Control(t.Context(), operator, v.ID, consoleapi.ActionResume)
	require.NoError(t, err)
	await(consoleapi.StateWorking)
	_, err = w.Control(t.Context(), operator, v.ID, consoleapi.ActionCancel)
	require.NoError(t, err)
	await(consoleapi.StateCanceled)
	assert.NoFileExists(t, filepath.Join(cfg.Output.Directory, "long_anonymized.mp4"))
	_, err = w.Control(t.Context(), operator, v.ID, consoleapi.ActionRetry)
	require.NoError(t, err)
	v = await(consoleapi.StateToReview)
	assert.Equal(t, 500, v.Frames)
	assert.Contains(t, v.Warnings, consoleapi.WarningNobodyFound)
	id := consoleapi.RevisionID{Video: v.ID, Revision: "r1"}
	require.Eventually(t, func() bool {
		m, err := w.Moments(t.Context(), id)
		require.NoError(t, err)
		return m.SecondLook.State == consoleapi.LookDone && m.SecondLook.Frames > 0
	}, 2*time.Minute, 50*time.Millisecond)
	_, err = w.Decide(t.Context(), operator, id, consoleapi.DecisionInput{Decision: consoleapi.Approved})
	require.NoError(t, err)
	assert.FileExists(t, audit.ApprovalPath(filepath.Join(cfg.Output.Directory, "long_anonymized.mp4")))
	require.NoError(t, r.Shutdown(t.Context()))
	assert.True(t, console.detached)
}

// TestWithoutConsole checks that a receiver without a console attaches to none of those on its host.
func TestWithoutConsole(t *testing.T) {
	console := &testConsole{}
	r, err := newReceiver(t.Context(), receivertest.NewNopSettings(metadata.Type), newTestConfig(t))
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), testHost{consoleID: console}))
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Nil(t, console.attached)
}
