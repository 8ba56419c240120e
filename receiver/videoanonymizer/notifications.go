// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/notify"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/privacy"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pseudonym"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/workspace"
)

// notifier returns the notifier that reports what happens to videos, or nil if no notifications are configured.
func (r *videoReceiver) notifier(names *pseudonym.Names) (*notify.Notifier, error) {
	if len(r.cfg.Notifications) == 0 {
		return nil, nil
	}
	places, err := privacy.PlacesOf(r.cfg, r.set.ID.String())
	if err != nil {
		return nil, err
	}
	return notify.New(notify.Options{
		Notifications: r.cfg.Notifications,
		Receiver:      places.Receiver,
		Outputs:       places.Outputs,
		State:         places.State,
		Known:         r.watcher.Known,
		Reviewed:      r.cfg.Console != nil,
		VideoID:       func(path string) string { return string(workspace.VideoID(places.Receiver, path, names.In)) },
		Pseudonym:     names.In,
		Logger:        r.set.Logger,
	})
}
