<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.16.0" styleCategories="Symbology|MapTips|Temporal">
  <!-- Expressions, mode 4, and not the fields themselves, mode 2: older releases (3.22) compare a date with a point in
       time as texts, and so show polygons that begin on 1 January in the frame of the year before as well. -->
  <temporal enabled="1" mode="4" limitMode="1" startField="valid_from" endField="valid_to"
    startExpression="to_datetime(&quot;valid_from&quot;)" endExpression="to_datetime(&quot;valid_to&quot;)"/>
  <renderer-v2 type="singleSymbol">
    <symbols>
      <symbol type="fill" name="0" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="0,0,0,150"/>
          <prop k="line_width" v="0.6"/>
        </layer>
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="255,255,255,255"/>
          <prop k="line_width" v="0.3"/>
          <prop k="line_style" v="dash"/>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <previewExpression>"site_id"</previewExpression>
  <mapTip enabled="1">&lt;b>[% "site_id" %]&lt;/b>, [% "country_name" %]&lt;br>
[% "first_year" %] to [% "last_year" %], seen in [% "years_seen" %] years</mapTip>
</qgis>
