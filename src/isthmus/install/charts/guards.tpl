{{- /* "yes" for an object that installations share, where another one made it: it stays that one's. */}}
{{- define "isthmus.left" }}
{{- $seen := lookup .apiVersion .kind "" .name }}
{{- if $seen }}
{{- $annotations := $seen.metadata.annotations | default dict }}
{{- $labels := $seen.metadata.labels | default dict }}
{{- $mine := and (eq (get $annotations "meta.helm.sh/release-name") .root.Release.Name) (eq (get $annotations "meta.helm.sh/release-namespace") .root.Release.Namespace) }}
{{- $isthmus := true }}
{{- range $key, $value := .labels }}
{{- if ne (get $labels $key) $value }}
{{- $isthmus = false }}
{{- end }}
{{- end }}
{{- $home := and .home (eq .name .root.Release.Namespace) }}
{{- if and (not $mine) (or $isthmus $home) }}yes{{ end }}
{{- end }}
{{- end }}

{{- /* Fails where the cluster has this part for another set: that one has to go first. */}}
{{- define "isthmus.one-set" }}
{{- $asked := . }}
{{- range (lookup "apps/v1" "Deployment" .namespace "").items }}
{{- $labels := .metadata.labels | default dict }}
{{- $set := get $labels $asked.set }}
{{- if and (eq (get $labels $asked.label) $asked.part) $set (ne $set $asked.root.Values.set) }}
{{- fail (printf "this cluster is %s of set %s already, not of %s: uninstall that first" $asked.part $set $asked.root.Values.set) }}
{{- end }}
{{- end }}
{{- end }}
