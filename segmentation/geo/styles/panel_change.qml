<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.16.0" styleCategories="Symbology|MapTips|Temporal">
  <!-- Expressions, mode 4, and not the fields themselves, mode 2: older releases (3.22) compare a date with a point in
       time as texts, and so show polygons that begin on 1 January in the frame of the year before as well. -->
  <temporal enabled="1" mode="4" limitMode="1" startField="valid_from" endField="valid_to"
    startExpression="to_datetime(&quot;valid_from&quot;)" endExpression="to_datetime(&quot;valid_to&quot;)"/>
  <renderer-v2 type="categorizedSymbol" attr="kind">
    <categories>
      <category symbol="0" value="gained" type="string" label="gained" render="true"/>
      <category symbol="1" value="lost" type="string" label="lost" render="true"/>
      <category symbol="2" value="kept" type="string" label="kept" render="true"/>
      <category symbol="3" value="unseen" type="string" label="not observed in one of the two years" render="true"/>
    </categories>
    <symbols>
      <symbol type="fill" name="0" alpha="1">
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="213,0,50,220"/>
          <prop k="style" v="solid"/>
          <prop k="outline_style" v="no"/>
        </layer>
      </symbol>
      <symbol type="fill" name="1" alpha="1">
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="0,114,206,220"/>
          <prop k="style" v="solid"/>
          <prop k="outline_style" v="no"/>
        </layer>
      </symbol>
      <symbol type="fill" name="2" alpha="1">
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="150,150,150,150"/>
          <prop k="style" v="solid"/>
          <prop k="outline_style" v="no"/>
        </layer>
      </symbol>
      <symbol type="fill" name="3" alpha="1">
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="125,60,152,255"/>
          <prop k="style" v="b_diagonal"/>
          <prop k="outline_color" v="125,60,152,255"/>
          <prop k="outline_width" v="0.3"/>
          <prop k="outline_style" v="dash"/>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <mapTip enabled="1">&lt;b>[% "site_id" %]&lt;/b>, [% "year_from" %] to [% "year_to" %]&lt;br>
[% "kind" %]: [% format_number("area" / 10000, 2) %] ha</mapTip>
</qgis>
