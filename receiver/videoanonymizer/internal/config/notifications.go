// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configopaque"
)

// Notification configures who is notified of what happens to videos: a webhook or a command, not both.
type Notification struct {
	// Name appears in the log, and is the name of the folder in which undelivered notifications wait.
	Name string `mapstructure:"name"`
	// Events are the events to notify of; all if empty.
	Events []string `mapstructure:"events"`
	// Webhook receives each notification as a request.
	Webhook *Webhook `mapstructure:"webhook"`
	// Command is started for each notification, the program first. It gets the document on standard input.
	Command []string `mapstructure:"command"`
	// Timeout bounds one attempt; 0 means 10 s for a webhook and a minute for a command.
	Timeout time.Duration `mapstructure:"timeout"`
	// GiveUpAfter is the age at which an undelivered notification is dropped; 0 means a week.
	GiveUpAfter time.Duration `mapstructure:"give_up_after"`

	_ struct{}
}

// Webhook is a server that receives requests.
type Webhook struct {
	URL string `mapstructure:"url"`
	// Secret signs the requests: base64 of 24 to 64 bytes, with or without whsec_ before it.
	Secret configopaque.String `mapstructure:"secret"`
	// Headers are added to the requests.
	Headers map[string]configopaque.String `mapstructure:"headers"`
	// CAFile holds the certificates of the authorities to trust, in place of the system's.
	CAFile string `mapstructure:"ca_file"`

	_ struct{}
}

// The events.
const (
	EventDone     = "done"
	EventFailed   = "failed"
	EventToReview = "to_review"
	EventApproved = "approved"
	EventRejected = "rejected"
)

var notificationEvents = []string{EventDone, EventFailed, EventToReview, EventApproved, EventRejected}

// Defaults of Notification.
const (
	webhookTimeout, commandTimeout = 10 * time.Second, time.Minute
	giveUpAfter                    = 7 * 24 * time.Hour
)

// Tells reports whether there are notifications of an event.
func (n *Notification) Tells(event string) bool {
	return len(n.Events) == 0 || slices.Contains(n.Events, event)
}

// Attempt returns the maximum duration of one attempt.
func (n *Notification) Attempt() time.Duration {
	switch {
	case n.Timeout > 0:
		return n.Timeout
	case n.Webhook != nil:
		return webhookTimeout
	}
	return commandTimeout
}

// Patience returns the age at which an undelivered notification is dropped.
func (n *Notification) Patience() time.Duration {
	if n.GiveUpAfter > 0 {
		return n.GiveUpAfter
	}
	return giveUpAfter
}

// Key returns the secret that signs requests.
func (w *Webhook) Key() ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.TrimPrefix(string(w.Secret), "whsec_"))
}

func (c *Config) validateNotifications() (errs []error) {
	names := map[string]bool{}
	for i := range c.Notifications {
		n := &c.Notifications[i]
		problems := n.validate()
		if names[n.Name] {
			problems = append(problems, fmt.Errorf("name: %s is used twice: choose another name", n.Name))
		}
		names[n.Name] = true
		if c.Console == nil && slices.ContainsFunc(n.Events, func(event string) bool {
			return slices.Contains([]string{EventToReview, EventApproved, EventRejected}, event)
		}) {
			problems = append(problems, errors.New("events: nobody reviews without a console: write done and failed, "+
				"or console"))
		}
		errs = append(errs, within(fmt.Sprintf("notifications[%d]", i), problems)...)
	}
	return errs
}

func (n *Notification) validate() []error {
	errs := []error{
		inRange("timeout", n.Timeout, 0, time.Hour, "how long one attempt may take, such as 10s"),
		inRange("give_up_after", n.GiveUpAfter, 0, 365*24*time.Hour, "an age such as 168h"),
	}
	if !profileName.MatchString(n.Name) {
		errs = append(errs, fmt.Errorf("name: %q is not a valid name: write letters, digits, _, . and -, such as chat",
			n.Name))
	}
	for _, event := range n.Events {
		errs = append(errs, oneOf("events", event, notificationEvents))
	}
	switch {
	case (n.Webhook == nil) == (len(n.Command) == 0):
		errs = append(errs, errors.New("webhook: write either webhook or command"))
	case n.Webhook != nil:
		errs = append(errs, within("webhook", n.Webhook.validate())...)
	case !filepath.IsAbs(n.Command[0]):
		errs = append(errs, fmt.Errorf("command: %q is not an absolute path: write, for example, "+
			"[/usr/local/bin/on-video, --verbose]", n.Command[0]))
	}
	return errs
}

func (w *Webhook) validate() (errs []error) {
	address, err := url.Parse(w.URL)
	if err != nil || address.Host == "" || address.Scheme != "https" && address.Scheme != "http" {
		errs = append(errs, errors.New("url: it is not a URL: write one such as https://hooks.example.org/videos"))
	}
	if key, err := w.Key(); err != nil || len(key) < 24 || len(key) > 64 {
		errs = append(errs, errors.New("secret: it is not 24 to 64 bytes in base64: write what `openssl rand -base64 32` "+
			"prints, such as ${env:WEBHOOK_SECRET}"))
	}
	return errs
}
